//! May a certificate that is there already be used, rather than another ordered? Pure.
//!
//! Only where what is in the Secret is not what is asked for, or nothing is: never for a renewal, by
//! the clock, by hand or at the CA's word, nor after a revocation.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::{condition::to_the_second, issuance::IssuanceState, names::annotation},
    certificate::{
        action::{Action, KeyPlace, Plan},
        asked_for::may_be_shared,
        content::TLS,
        facts::{CertificateFacts, Reused, Situation},
        issue::Issuance,
        key::{self, Source},
        plan::Requests,
        policy,
        renewal::renewal_time,
        secret::SecretFacts,
        standing::is_failed,
        suggestion::Suggestion,
    },
    request::facts::RequestFacts,
    retire::facts::IssuanceFacts,
};

/// What there is that may be used again.
#[derive(Clone, Debug, Default)]
pub enum Reuse {
    /// Nothing.
    #[default]
    None,
    /// This, if its Secret says so when it is read.
    Look(Arc<Candidate>),
    /// This: its Secret was read.
    Found(Arc<Candidate>),
}

/// A certificate that was issued for exactly what is asked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its record.
    pub issuance: Arc<IssuanceFacts>,
    /// A Secret that holds it.
    pub secret: Arc<SecretFacts>,
    /// When its CA wants it renewed, as far as a Certificate that keeps it knows.
    pub suggestion: Option<Suggestion>,
}

impl Candidate {
    /// Whether `certificate` may have it `now`.
    pub fn is_good_for(&self, certificate: &CertificateFacts, now: Timestamp) -> bool {
        let Self {
            issuance,
            secret,
            suggestion,
        } = self;
        let (Some(key), Some(leaf)) = (secret.key.read(), secret.leaf.read()) else {
            return false;
        };
        let is_recorded = issuance.may_be_used_again()
            && issuance.is_of(&leaf.serial, &leaf.public_key.to_string())
            && issuance.has_room_for(certificate);
        // Written here, and not put there by somebody else.
        let is_ours = secret.type_ == TLS
            && !secret.meta.deleting
            && secret.meta.key.namespace == certificate.meta.key.namespace
            && secret.annotation(annotation::CERTIFICATE_NAME).is_some()
            && policy::incorrect_issuer(&certificate.spec.issuer_ref, secret).is_none();
        let fits = key.public_key == leaf.public_key && policy::fits(certificate, key, leaf);
        let renewal = renewal_time(
            &certificate.spec,
            *suggestion,
            leaf.not_before,
            leaf.not_after,
        );
        let is_due = now >= leaf.not_after || renewal.at.is_some_and(|at| now >= at);
        is_recorded && is_ours && fits && !is_due
    }

    /// Whether it is what is at hand for the next issuance.
    fn is(&self, reused: &Reused) -> bool {
        reused.issuance == self.issuance.meta.key && reused.secret == self.secret.meta.key
    }
}

/// Whether `certificate` would have a certificate that is there already.
pub fn is_wanted(certificate: &CertificateFacts) -> bool {
    // Who asks for a revocation asks for another certificate.
    may_be_shared(&certificate.annotations)
        && !certificate.annotations.contains_key(annotation::REVOKE)
        && !certificate.is_issuing()
        && !certificate.meta.deleting
}

/// Whether the Secret of `certificate` was deleted by hand, if it is gone: then what was in it is not
/// wanted any more. `records` are those of what was issued into it.
pub fn was_deleted(certificate: &CertificateFacts, records: &[Arc<IssuanceFacts>]) -> bool {
    let (secret, uid) = (certificate.secret(), certificate.meta.uid.as_str());
    certificate.revision().is_some()
        && records.iter().any(|record| {
            let mut own = record.places().filter(|(_, of)| *of == uid);
            // One that is in two places is on its way from one to the other.
            let is_only = own.next().is_some_and(|(only, _)| *only == secret);
            let is_kept = record.state() == IssuanceState::Active;
            is_kept && is_only && own.next().is_none()
        })
}

/// The next step towards what is there already, if it is used. The key is only in memory; whatever
/// goes wrong, the next plan is made from what stands.
pub(super) fn plan(situation: &Situation, requests: &Requests<'_>) -> Option<Plan> {
    let is_misfit = policy::misfit(requests.view(situation)).is_some();
    let was_refused = |request: &&Arc<RequestFacts>| request.is_reuse() && is_failed(request);
    if !is_misfit || situation.withdrawal.why.is_some() || requests.next.iter().any(was_refused) {
        return None;
    }
    match &situation.reuse {
        Reuse::None => None,
        Reuse::Look(candidate) => {
            let look = Action::Inspect(Arc::clone(candidate));
            Some(Plan::act(vec![look]))
        }
        Reuse::Found(candidate) => take(situation, requests, candidate),
    }
}

fn take(situation: &Situation, requests: &Requests<'_>, candidate: &Candidate) -> Option<Plan> {
    let certificate = &situation.certificate;
    let mut actions = Vec::new();
    if !candidate.issuance.is_claimed_by(certificate) {
        actions.push(Action::Claim(Arc::clone(&candidate.issuance)));
    }
    let held = situation.held.as_ref();
    let held = held.and_then(|held| Some((held, held.reused.as_deref()?)));
    let Some((held, reused)) = held.filter(|(_, reused)| candidate.is(reused)) else {
        let wanted = key::parameters(&certificate.spec).ok()?;
        actions.push(Action::HoldKey {
            name: key::next_name(certificate, wanted),
            source: Source::Found,
        });
        return Some(Plan::act(actions));
    };
    if !actions.is_empty() {
        return Some(Plan::act(actions));
    }
    let issuance = Issuance {
        situation,
        requests,
        key: KeyPlace::Held(held.name.clone()),
        public_key: held.key.public_key,
        began: Some(to_the_second(held.since).0),
        reused: Some(reused),
    };
    issuance.at_once()
}
