//! What does an order count for in the limits of its CA, and must it wait for its turn?

use std::{collections::BTreeSet, time::Duration};

use crate::{
    api::order::State,
    challenge::facts::ChallengeIndex,
    cluster::Next,
    issuer::{AccountId, IssuerView, limits::Limits, refusal::CaError},
    order::{
        error::Error,
        exchange::identifiers,
        facts::OrderFacts,
        ledger::Line,
        limits::{Names, What},
        reconcile::OrderReconciler,
    },
};

impl OrderReconciler {
    /// Until when the order waits for its turn, if the limits of the CA are reached.
    pub(super) async fn must_wait(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
    ) -> Result<Option<Next>, Error> {
        let Some((account, limits)) = counted(issuer) else {
            return Ok(None);
        };
        let limits = match order.spec.replaces {
            None => limits,
            // Who renews at the CA's word is exempt, but not from what it costs to fail.
            Some(_) => limits.of_failures(),
        };
        let names = Names::of(&identifiers(&order.spec));
        let line = self.line(order, &account, &limits, &names);
        let Err(full) = self.ledger.admit(line).await? else {
            return Ok(None);
        };
        self.note(order, full.message(&limits)).await?;
        let wait = Duration::try_from(line.now.duration_until(full.at)).unwrap_or_default();
        Ok(Some(Next::After(wait)))
    }

    /// What the CA says of its limits counts more than our own count.
    pub(super) fn learn(&self, error: &CaError, line: Line<'_>) {
        let (Some(until), Some(problem)) = (error.retry_at(), error.problem()) else {
            return;
        };
        if let Some(what) = What::of_refusal(&problem.detail, line.names) {
            self.ledger.refused(line, &what, until);
        }
    }

    /// No certificate comes of an order that was placed, and perhaps some name was not validated.
    pub(super) async fn count_failure(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
    ) -> Result<(), Error> {
        let was_placed = order
            .status
            .url
            .as_deref()
            .is_some_and(|url| !url.is_empty());
        let counted = counted(issuer).filter(|_| was_placed);
        let Some((account, limits)) = counted else {
            return Ok(());
        };
        let names = Names::of(&identifiers(&order.spec));
        let line = self.line(order, &account, &limits, &names);
        // It may have been placed before this process began.
        self.ledger.open(line.account).await?;
        if order.spec.replaces.is_none() {
            self.ledger.failed(line);
        }
        let not_validated = self.not_validated(order);
        if !not_validated.is_empty() {
            self.ledger.not_validated(line, &not_validated);
        }
        // What it costs is counted first, so that nobody slips in between.
        self.ledger.ended(line);
        Ok(())
    }

    pub(super) fn line<'a>(
        &self,
        order: &'a OrderFacts,
        account: &'a AccountId,
        limits: &'a Limits,
        names: &'a Names,
    ) -> Line<'a> {
        Line {
            account,
            limits,
            order: &order.meta.key,
            uid: &order.meta.uid,
            names,
            now: self.clock.now(),
        }
    }

    /// The names of `order` that the CA could not validate.
    fn not_validated(&self, order: &OrderFacts) -> BTreeSet<String> {
        let owner = ChallengeIndex::Owner(order.meta.as_owner());
        let challenges = self.challenges.find(&owner).into_iter();
        challenges
            .filter(|challenge| challenge.status.state == Some(State::Invalid))
            .map(|challenge| challenge.spec.dns_name.to_ascii_lowercase())
            .collect()
    }
}

/// The account that orders of `issuer` count for, and how many its CA takes, if any are counted.
pub(super) fn counted(issuer: &IssuerView) -> Option<(AccountId, Limits)> {
    // An issuer with other limits is not ready, and says so.
    let limits = issuer.limits().ok()?;
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    issuer.account().zip(limits)
}
