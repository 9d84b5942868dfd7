//! How does the status of a Certificate change?

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{
        certificate::CertificateStatus,
        condition::{self, Condition, kind},
        reason::certificate as reason,
    },
    certificate::{
        action::Action,
        facts::Situation,
        policy::Violation,
        renewal::renewal_time,
        secret::Leaf,
        suggestion::{self, suggestion},
    },
};

/// Message of the Ready condition when all is well.
const READY: &str = "Certificate is up to date and has not expired";

/// A status being changed.
pub(super) struct Draft<'a> {
    situation: &'a Situation,
    status: CertificateStatus,
}

impl<'a> Draft<'a> {
    /// The status as it is.
    pub(super) fn of(situation: &'a Situation) -> Self {
        Self {
            situation,
            status: situation.certificate.status.clone(),
        }
    }

    /// The status as changed so far.
    pub(super) fn status(&mut self) -> &mut CertificateStatus {
        &mut self.status
    }

    /// All is well.
    pub(super) fn ready(&mut self) {
        self.set(kind::READY, true, reason::READY, READY);
    }

    /// All is well until the next issuance, which needs `what`.
    pub(super) fn ready_but(&mut self, what: &str) {
        let message = format!("{READY}; the next one cannot be stored: {what}");
        self.set(kind::READY, true, reason::READY, message);
    }

    /// Something is wrong.
    pub(super) fn not_ready(&mut self, violation: Violation) {
        self.set(kind::READY, false, violation.reason, violation.message);
    }

    /// An issuance is under way, for this reason.
    pub(super) fn issuing(&mut self, why: Violation) {
        self.set(kind::ISSUING, true, why.reason, why.message);
    }

    /// The message of the issuance under way is now `message`.
    pub(super) fn issuing_message(&mut self, message: String) {
        let Some(known) = condition::find(self.status.conditions.as_ref(), kind::ISSUING) else {
            return;
        };
        let reason = known.reason.clone().unwrap_or_default();
        self.set(kind::ISSUING, true, reason, message);
    }

    /// One more issuance failed: says when, and how many in a row.
    pub(super) fn count_failure(&mut self) -> (Timestamp, i64) {
        let now = condition::to_the_second(self.situation.now);
        let before = self.status.failed_issuance_attempts.unwrap_or(0).max(0);
        let attempts = before.saturating_add(1);
        self.status.failed_issuance_attempts = Some(attempts);
        self.status.last_failure_time = Some(now.clone());
        (now.0, attempts)
    }

    /// The issuance that was under way has failed.
    pub(super) fn not_issuing(&mut self, reason: &str, message: String) {
        self.set(kind::ISSUING, false, reason, message);
        self.forget_key();
    }

    /// The issuance under way made `revision`.
    pub(super) fn succeeded(&mut self, revision: i64) {
        self.status.revision = Some(revision);
        self.status.acme = suggestion::renewed(self.status.acme.as_ref(), self.situation.now);
        self.status.last_failure_time = None;
        self.status.failed_issuance_attempts = None;
        self.end_issuing();
    }

    /// No issuance is under way, and none failed.
    pub(super) fn end_issuing(&mut self) {
        if let Some(conditions) = &mut self.status.conditions {
            condition::remove(conditions, kind::ISSUING);
        }
        self.forget_key();
    }

    /// There is no key of an issuance under way.
    pub(super) fn forget_key(&mut self) {
        self.status.next_private_key_secret_name = None;
    }

    /// Puts the dates of the certificate in the Secret; returns what was wrong with the renewal
    /// windows.
    pub(super) fn dates(&mut self) -> Option<String> {
        if self.situation.source == suggestion::Source::NotAsked {
            self.status.acme = None;
        }
        let secret = self.situation.secret.as_ref();
        let leaf = secret.and_then(|secret| secret.leaf.read());
        let renewal = leaf.map(|leaf| {
            let Leaf {
                not_before,
                not_after,
                ..
            } = leaf;
            let spec = &self.situation.certificate.spec;
            let suggestion = suggestion(&self.status, leaf);
            renewal_time(spec, suggestion, *not_before, *not_after)
        });
        self.status.not_before = leaf.map(|leaf| Time(leaf.not_before));
        self.status.not_after = leaf.map(|leaf| Time(leaf.not_after));
        self.status.renewal_time = renewal.as_ref().and_then(|renewal| renewal.at).map(Time);
        renewal.and_then(|renewal| renewal.problem)
    }

    /// The patch that makes the change, if there is one.
    pub(super) fn into_action(self) -> Option<Action> {
        (self.status != self.situation.certificate.status)
            .then(|| Action::PatchStatus(Box::new(self.status)))
    }

    fn set(
        &mut self,
        type_: &str,
        holds: bool,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) {
        let generation = self.situation.certificate.meta.generation;
        let condition = Condition::new(
            type_,
            holds,
            reason,
            bounded(message.into()),
            Some(generation).filter(|generation| *generation > 0),
        );
        let conditions = self.status.conditions.get_or_insert_default();
        condition::set(conditions, condition, self.situation.now);
    }
}

/// Messages quote what others wrote: they are cut where they would be too long for a line.
fn bounded(message: String) -> String {
    const LONGEST: usize = 1024;
    if message.len() <= LONGEST {
        return message;
    }
    let end = (0..=LONGEST)
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}…", &message[..end])
}
