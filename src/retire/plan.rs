//! What is to be done next about an issued certificate? Pure: facts in, one step out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::to_the_second,
        deletion::{DeletionPolicy, RevocationReason, RevocationRequest},
        issuance::{IssuanceState, IssuanceStatus, Request},
        names::annotation,
    },
    cluster::{Next, ObjectKey},
    retire::{
        deleted::deleted,
        facts::{Claim, Escrow, IssuanceFacts, Keeper, Situation, Stored},
        orphan::{finish, orphan, revoke},
        share::Share,
        shared,
        unattended::note,
    },
};

/// Everything is looked at again after this long: wall clocks jump, and machines sleep.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// What nothing tells of is looked at again after this long.
pub(super) const RECHECK: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing, until then.
    Nothing(Next),
    /// Ask the API server, and decide again.
    Ask,
    /// The same about another Secret that it is in.
    AskAbout(Share),
    /// Write this down.
    Write(Box<Change>),
    /// Have it revoked, for what it was asked for.
    Revoke,
    /// Delete this Secret, if that still holds it.
    DeleteSecret(ObjectKey),
    /// Copy the account key to where it outlives the namespace.
    KeepAccountKey,
    /// Delete that copy.
    DropAccountKey,
    /// Delete the record.
    DeleteRecord,
}

/// What changes of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The status as it is to be.
    pub status: IssuanceStatus,
    /// The Certificate that keeps it now, if that is another: name and uid.
    pub keeper: Option<(String, String)>,
    /// The Secret that it is in now, if that is another.
    pub secret: Option<String>,
    /// The other Secrets that it is in, if those are others.
    pub also_in: Option<Vec<Share>>,
    /// The policy, if it is another.
    pub policy: Option<DeletionPolicy>,
    /// The annotation that asked for another one, if it is not there any more.
    pub forget_request: bool,
    /// Whether what somebody confirmed is to be forgotten.
    pub forget_confirmation: bool,
    /// What somebody should know.
    pub told: Option<Told>,
}

/// What somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether it is a warning.
    pub warning: bool,
    /// In one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// Decide what to do next. Each step is decided from what stands, so that it does not matter after
/// which one the last process was cut off.
pub fn plan(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    if !situation.is_ours || issuance.meta.deleting {
        return Step::Nothing(Next::Change);
    }
    match decide(situation) {
        Step::Nothing(next) => shared::tidy(situation, next),
        step => step,
    }
}

/// The same, for the Secret that the record names.
fn decide(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    let state = issuance.state();
    if state == IssuanceState::Expired && !issuance.is_expired(situation.now) {
        return write(not_expired(situation));
    }
    if state.is_final() {
        return finish(situation);
    }
    if state == IssuanceState::Deleted && !matches!(situation.claim, Claim::Kept(_)) {
        return deleted(situation);
    }
    if issuance.is_expired(situation.now) {
        let mut status = issuance.status.clone();
        status.state = Some(IssuanceState::Expired);
        status.message = None;
        status.next_try = None;
        return write(status);
    }
    if situation.is_namespace_ending
        && situation.escrow == Escrow::None
        && issuance.policy == DeletionPolicy::Revoke
        && issuance.account_in_its_namespace().is_some()
    {
        return Step::KeepAccountKey;
    }
    if let Some(step) = made_worse(situation) {
        return step;
    }
    if let Some(step) = note(situation) {
        return step;
    }
    if state == IssuanceState::Revoking {
        return revoke(situation);
    }
    if let Some(by) = &situation.compromised_by
        && issuance.is_revocable()
    {
        // The same key in another certificate.
        let mut status = issuance.status.clone();
        status.state = Some(IssuanceState::Revoking);
        status.message = None;
        status.request = Some(Request {
            by: by.clone(),
            reason: RevocationReason::KeyCompromise,
            time: to_the_second(situation.now),
        });
        return write(status);
    }
    if let Some(step) = shared::first(situation) {
        return step;
    }
    match &situation.claim {
        Claim::Kept(keeper) => kept(situation, keeper),
        Claim::Elsewhere => superseded(situation),
        Claim::Nobody => orphan(situation),
    }
}

/// A Certificate names its Secret.
fn kept(situation: &Situation, keeper: &Keeper) -> Step {
    let issuance = &situation.issuance;
    let before = issuance.state();
    let state = match situation.stored {
        Stored::This => IssuanceState::Active,
        Stored::Other | Stored::Gone if before == IssuanceState::Deleted => before,
        Stored::Other if !keeper.is_issuing => IssuanceState::Superseded,
        // Not stored yet, or lost: what comes next tells.
        Stored::Other | Stored::Gone if before == IssuanceState::Superseded => before,
        Stored::Other | Stored::Gone => IssuanceState::Active,
    };
    let request = requested(situation, keeper);
    if state == IssuanceState::Deleted && request.is_none() {
        return deleted(situation);
    }
    if state == IssuanceState::Superseded && !issuance.is_revocable() {
        return Step::DeleteRecord;
    }
    let mut status = issuance.status.clone();
    status.state = Some(state);
    status.orphaned_since = None;
    status.unattended_since = None;
    status.message = None;
    let mut told = None;
    if status.request.is_none()
        && let Some(request) = &request
    {
        status.request = Some(asked(issuance, keeper, request.reason, situation.now));
    }
    if let Some(request) = &status.request {
        // A key that others may have is revoked before anything else.
        let is_urgent = request.reason == RevocationReason::KeyCompromise;
        let is_of_no_use = matches!(state, IssuanceState::Superseded | IssuanceState::Deleted);
        if is_urgent || is_of_no_use {
            status.state = Some(IssuanceState::Revoking);
        } else {
            let message = "to be revoked as soon as another certificate has taken its place";
            status.message = Some(message.to_owned());
        }
    }
    let is_new = *keeper.uid != issuance.uid || *keeper.name != *issuance.certificate.name;
    let is_adopted = is_new && state == IssuanceState::Active;
    let was_given_up = matches!(
        before,
        IssuanceState::Orphaned | IssuanceState::Held | IssuanceState::Deleted
    );
    if is_adopted && was_given_up {
        told = Some(Told {
            warning: false,
            reason: "Adopted",
            message: format!(
                "Certificate {}/{} keeps it again: nothing is revoked",
                issuance.secret.namespace, keeper.name
            ),
        });
    }
    let change = Change {
        status,
        keeper: is_adopted.then(|| (keeper.name.to_string(), keeper.uid.clone())),
        secret: None,
        also_in: None,
        policy: keeper
            .policy
            .filter(|policy| *policy != issuance.policy && state == IssuanceState::Active),
        forget_request: issuance.earlier_request.is_some()
            && issuance.earlier_request != keeper.annotation,
        forget_confirmation: false,
        told,
    };
    changed(situation, change).unwrap_or_else(|| wait_for_expiry(situation))
}

/// The clock was ahead: all is looked at again.
fn not_expired(situation: &Situation) -> IssuanceStatus {
    let mut status = situation.issuance.status.clone();
    let is_orphan = status.orphaned_since.is_some();
    status.state = Some(match situation.stored {
        _ if is_orphan => IssuanceState::Orphaned,
        Stored::Other => IssuanceState::Superseded,
        Stored::This | Stored::Gone => IssuanceState::Active,
    });
    status
}

/// Others may have the key of what was to be revoked for less: that waits for nothing.
fn made_worse(situation: &Situation) -> Option<Step> {
    let Claim::Kept(keeper) = &situation.claim else {
        return None;
    };
    let mut status = situation.issuance.status.clone();
    let before = status.request.as_ref()?.reason;
    let reason = requested(situation, keeper)?.reason;
    if reason != RevocationReason::KeyCompromise || before == reason {
        return None;
    }
    status.state = Some(IssuanceState::Revoking);
    status.message = None;
    // What failed before is no reason to wait.
    status.next_try = None;
    status.tries = None;
    status.request = Some(asked(&situation.issuance, keeper, reason, situation.now));
    Some(write(status))
}

/// The request that its Certificate makes by annotation.
pub(super) fn asked(
    issuance: &IssuanceFacts,
    keeper: &Keeper,
    reason: RevocationReason,
    now: Timestamp,
) -> Request {
    let annotation = format!(
        "annotation {} on Certificate {}/{}",
        annotation::REVOKE,
        issuance.secret.namespace,
        keeper.name
    );
    Request {
        by: match &keeper.asker {
            Some(asker) => format!("{asker} ({annotation})"),
            None => annotation,
        },
        reason,
        time: to_the_second(now),
    }
}

/// What the annotation of its Certificate asks for, if it is about this certificate.
fn requested(situation: &Situation, keeper: &Keeper) -> Option<RevocationRequest> {
    let issuance = &situation.issuance;
    let earlier = issuance.earlier_request.as_deref();
    let is_current = situation.stored == Stored::This;
    asks(keeper, issuance, earlier, is_current)
}

/// What the annotation of `keeper` asks for, if it is about the certificate of `issuance`, which the
/// Secret holds if it `is_current`. An `earlier` annotation was about another.
pub(super) fn asks(
    keeper: &Keeper,
    issuance: &IssuanceFacts,
    earlier: Option<&str>,
    is_current: bool,
) -> Option<RevocationRequest> {
    let text = keeper.annotation.as_ref();
    let text = text.filter(|_| issuance.is_revocable())?;
    let request: RevocationRequest = text.parse().ok()?;
    match &request.serial {
        Some(serial) => (*serial == issuance.serial).then_some(request),
        // What stood there when this was issued was about another.
        None if earlier == Some(text) => None,
        None => is_current.then_some(request),
    }
}

/// Its Certificate keeps another.
fn superseded(situation: &Situation) -> Step {
    if !situation.issuance.is_revocable() {
        // Nothing will ever be done about it, and it may live for decades.
        return Step::DeleteRecord;
    }
    let mut status = situation.issuance.status.clone();
    status.state = Some(match status.request {
        Some(_) => IssuanceState::Revoking,
        None => IssuanceState::Superseded,
    });
    status.orphaned_since = None;
    status.unattended_since = None;
    status.message = None;
    changed(situation, Change::of(status)).unwrap_or_else(|| wait_for_expiry(situation))
}

/// How soon to look again at what nothing tells of: with short delays soon, and the longer it has waited
/// the more seldom, as there may be thousands.
pub(super) fn recheck(situation: &Situation) -> Duration {
    const SOON: Duration = Duration::from_secs(1);
    /// The share of the time waited for already.
    const SHARE: u32 = 8;
    let delay = situation.settings.delay;
    let least = Duration::try_from(delay).unwrap_or(RECHECK);
    let since = situation.issuance.status.orphaned_since.as_ref();
    let due = since.and_then(|since| since.0.checked_add(delay).ok());
    let waited = due.and_then(|due| Duration::try_from(due.duration_until(situation.now)).ok());
    let pause = waited.unwrap_or_default() / SHARE;
    pause.clamp(least.clamp(SOON, RECHECK), LONGEST_SLEEP)
}

pub(super) fn wait_for_expiry(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    let next = if issuance.is_expired(situation.now) {
        LONGEST_SLEEP
    } else {
        let end = issuance
            .not_after
            .saturating_add(SignedDuration::from_secs(1));
        end.map_or(LONGEST_SLEEP, |end| until(situation.now, end))
    };
    Step::Nothing(Next::After(next.min(LONGEST_SLEEP)))
}

/// How long it is from `now` to `at`, at least a moment.
pub(super) fn until(now: Timestamp, at: Timestamp) -> Duration {
    const MOMENT: Duration = Duration::from_millis(10);
    Duration::try_from(now.duration_until(at))
        .unwrap_or_default()
        .max(MOMENT)
}

/// The wait after so many failed tries, with so long left to live: never so long that a certificate
/// gets few of them, nor so short that its CA is hammered in its last hour.
pub fn backoff(tries: i32, left: SignedDuration) -> SignedDuration {
    const FIRST: i64 = 5;
    /// The share of what is left that a wait may be.
    const SHARE: i64 = 48;
    const LEAST: i64 = 60;
    const MOST: i64 = 3600;
    let doublings = u32::try_from(tries.clamp(1, 12) - 1).unwrap_or(0);
    let most = (left.as_secs() / SHARE).clamp(LEAST, MOST);
    SignedDuration::from_secs((FIRST << doublings).min(most))
}

impl Change {
    /// A change of the status alone.
    pub fn of(status: IssuanceStatus) -> Self {
        Self {
            status,
            keeper: None,
            secret: None,
            also_in: None,
            policy: None,
            forget_request: false,
            forget_confirmation: false,
            told: None,
        }
    }
}

pub(super) fn write(status: IssuanceStatus) -> Step {
    Step::Write(Box::new(Change::of(status)))
}

/// The change as a step, if it changes anything.
pub(super) fn changed(situation: &Situation, change: Change) -> Option<Step> {
    let Change {
        status,
        keeper,
        secret,
        also_in,
        policy,
        forget_request,
        forget_confirmation,
        told: _,
    } = &change;
    let is_change = *status != situation.issuance.status
        || keeper.is_some()
        || secret.is_some()
        || also_in.is_some()
        || policy.is_some()
        || *forget_request
        || *forget_confirmation;
    is_change.then(|| Step::Write(Box::new(change)))
}

#[cfg(test)]
mod tests;
