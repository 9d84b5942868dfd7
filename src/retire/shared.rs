//! What is done about a certificate that is in several Secrets? Pure.
//!
//! As long as a Certificate keeps it in one of them, it is not revoked. One of the Secrets is the one
//! that the record names; when that has lost it, another takes its place.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::to_the_second,
        deletion::{DeletionPolicy, RevocationReason},
        issuance::IssuanceState,
    },
    cluster::Next,
    retire::{
        facts::{Claim, Definition, Keeper, Live, Situation, Stored},
        plan::{Change, Step, Told, asked, asks, recheck, until},
        share::{Share, Shared},
    },
};

/// How long a Certificate may take to store what it is to keep: one that takes longer says it again.
const PATIENCE: SignedDuration = SignedDuration::from_mins(1);

/// How a Secret stands to the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing<'a> {
    /// It holds it, for this Certificate.
    Kept(&'a Keeper),
    /// It is to, or may still.
    Pending(&'a Keeper),
    /// It does not, or for nobody.
    Lost,
}

/// What comes before anything that is done for the Secret that the record names.
pub(super) fn first(situation: &Situation) -> Option<Step> {
    let shares = &situation.shares;
    if shares.is_empty() {
        return None;
    }
    let is_lost = is_lost(situation);
    let standings = || {
        shares
            .iter()
            .map(|shared| (shared, standing(shared, situation.now)))
    };
    if is_lost {
        let kept = standings().find_map(|(shared, standing)| match standing {
            Standing::Kept(keeper) => Some((shared, keeper)),
            Standing::Pending(_) | Standing::Lost => None,
        });
        if let Some((shared, keeper)) = kept {
            return Some(succeed(situation, shared, keeper));
        }
    }
    if situation.issuance.status.request.is_none()
        && let Some(step) = requested(situation)
    {
        return Some(step);
    }
    let awaited = standings().filter_map(|(shared, standing)| match standing {
        Standing::Pending(_) => shared.share.since.checked_add(PATIENCE).ok(),
        Standing::Kept(_) | Standing::Lost => None,
    });
    let end = awaited.filter(|_| is_lost).max()?;
    Some(Step::Nothing(Next::After(until(situation.now, end))))
}

/// What is done about the other Secrets once nothing is to be done for the one that the record names
/// until `next`.
pub(super) fn tidy(situation: &Situation, next: Next) -> Step {
    let issuance = &situation.issuance;
    let shares: Vec<Share> = situation
        .shares
        .iter()
        .filter_map(|shared| refreshed(shared, situation.now))
        .collect();
    if shares != issuance.also_in {
        return Step::Write(Box::new(Change {
            also_in: Some(shares),
            ..Change::of(issuance.status.clone())
        }));
    }
    let mut next = next;
    for shared in &situation.shares {
        match leftover(situation, shared) {
            Leftover::None => {}
            Leftover::Later(at) => next = next.sooner(at),
            Leftover::Now(step) => return step,
        }
    }
    Step::Nothing(next)
}

/// Whether the Secret that the record names does not hold it, or for nobody.
fn is_lost(situation: &Situation) -> bool {
    match (&situation.claim, situation.stored) {
        (Claim::Nobody | Claim::Elsewhere, _) => true,
        (Claim::Kept(keeper), Stored::Other) => !keeper.is_issuing,
        (Claim::Kept(_), Stored::This | Stored::Gone) => false,
    }
}

fn standing(shared: &Shared, now: Timestamp) -> Standing<'_> {
    let Claim::Kept(keeper) = &shared.claim else {
        return Standing::Lost;
    };
    let is_early = shared.share.since.duration_until(now) < PATIENCE;
    match shared.stored {
        Stored::This => Standing::Kept(keeper),
        Stored::Other if keeper.is_ready => Standing::Lost,
        Stored::Other | Stored::Gone if is_early => Standing::Pending(keeper),
        Stored::Other | Stored::Gone => Standing::Lost,
    }
}

/// What is written down of another Secret; `None` where that is no concern any more.
fn refreshed(shared: &Shared, now: Timestamp) -> Option<Share> {
    let share = &shared.share;
    match standing(shared, now) {
        Standing::Kept(keeper) | Standing::Pending(keeper) => {
            let is_same = keeper.uid == share.uid && keeper.name == share.certificate;
            Some(Share {
                secret: share.secret.clone(),
                certificate: keeper.name.clone(),
                uid: keeper.uid.clone(),
                since: if is_same {
                    share.since
                } else {
                    now_stored(now)
                },
                policy: keeper.policy.unwrap_or(share.policy),
                orphaned_since: None,
            })
        }
        Standing::Lost => orphaned(share, shared, now),
    }
}

/// A Secret that holds it still, after its Certificate is gone.
fn orphaned(share: &Share, shared: &Shared, now: Timestamp) -> Option<Share> {
    let policy = match share.orphaned_since {
        // Under another program its Secret stays, and may be in use.
        _ if shared.is_unattended => DeletionPolicy::Retain,
        // Since then it may be changed in the record.
        Some(_) => share.policy,
        None => shared.last_policy.unwrap_or(share.policy),
    };
    let is_left = shared.claim == Claim::Nobody && shared.stored == Stored::This;
    is_left.then(|| Share {
        policy,
        orphaned_since: share.orphaned_since.or(Some(now_stored(now))),
        ..share.clone()
    })
}

/// Another Secret takes the place of the one that the record names.
fn succeed(situation: &Situation, shared: &Shared, keeper: &Keeper) -> Step {
    let issuance = &situation.issuance;
    let former = Shared {
        share: Share {
            secret: issuance.secret.clone(),
            certificate: issuance.certificate.name.clone(),
            uid: issuance.uid.clone(),
            since: issuance.since,
            policy: issuance.policy,
            orphaned_since: issuance.status.orphaned_since.as_ref().map(|time| time.0),
        },
        claim: situation.claim.clone(),
        stored: situation.stored,
        last_policy: situation.last_policy,
        is_unattended: situation.is_unattended,
    };
    let others = situation.shares.iter().filter(|other| *other != shared);
    let others = others.filter_map(|other| refreshed(other, situation.now));
    let also_in = others
        .chain(orphaned(&former.share, &former, situation.now))
        .collect();

    let mut status = issuance.status.clone();
    status.state = Some(IssuanceState::Active);
    status.orphaned_since = None;
    status.unattended_since = None;
    status.message = None;
    let is_news = situation.claim == Claim::Nobody;
    let told = Told {
        warning: false,
        reason: "Adopted",
        message: format!(
            "Certificate {}/{} keeps it in Secret {:?}: nothing is revoked",
            shared.share.secret.namespace, keeper.name, shared.share.secret.name
        ),
    };
    Step::Write(Box::new(Change {
        keeper: Some((keeper.name.to_string(), keeper.uid.clone())),
        secret: Some(shared.share.secret.name.to_string()),
        also_in: Some(also_in),
        policy: keeper.policy.filter(|policy| *policy != issuance.policy),
        forget_request: issuance.earlier_request.is_some(),
        told: is_news.then_some(told),
        ..Change::of(status)
    }))
}

/// A Certificate that shares it asks for its revocation.
fn requested(situation: &Situation) -> Option<Step> {
    let issuance = &situation.issuance;
    let (keeper, request) = situation.shares.iter().find_map(|shared| {
        let Standing::Kept(keeper) = standing(shared, situation.now) else {
            return None;
        };
        // It had no such annotation when it was given the certificate.
        let request = asks(keeper, issuance, None, true)?;
        Some((keeper, request))
    })?;
    let mut status = issuance.status.clone();
    status.request = Some(asked(issuance, keeper, request.reason, situation.now));
    if request.reason == RevocationReason::KeyCompromise {
        status.state = Some(IssuanceState::Revoking);
    }
    Some(Step::Write(Box::new(Change::of(status))))
}

/// What is to be done about a Secret that was left over.
enum Leftover {
    /// Nothing: it is none.
    None,
    /// Look again then.
    Later(Next),
    /// This.
    Now(Step),
}

fn leftover(situation: &Situation, shared: &Shared) -> Leftover {
    let share = &shared.share;
    let Some(since) = share.orphaned_since else {
        return Leftover::None;
    };
    if share.policy == DeletionPolicy::Retain {
        return Leftover::None;
    }
    let due = since.checked_add(situation.settings.delay);
    let due = due.unwrap_or(Timestamp::MAX);
    if situation.now < due {
        return Leftover::Later(Next::After(until(situation.now, due)));
    }
    let later = Leftover::Later(Next::After(recheck(situation)));
    if situation.brake && !situation.issuance.is_confirmed {
        return later;
    }
    let asked = situation.live_share.as_ref();
    let Some((_, live)) = asked.filter(|(secret, _)| *secret == share.secret) else {
        return Leftover::Now(Step::AskAbout(share.clone()));
    };
    let Live {
        is_kept,
        definition,
        used_by,
        stored,
    } = live;
    let is_good = match definition {
        Definition::Ending => false,
        Definition::Since(time) => *time < share.since || situation.issuance.is_confirmed,
    };
    if *is_kept || !is_good || !used_by.is_empty() || *stored != Stored::This {
        return later;
    }
    Leftover::Now(Step::DeleteSecret(share.secret.clone()))
}

/// As it comes back from where it is stored.
fn now_stored(now: Timestamp) -> Timestamp {
    to_the_second(now).0
}

#[cfg(test)]
mod tests;
