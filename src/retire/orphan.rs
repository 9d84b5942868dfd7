//! When is an orphan revoked, or its Secret deleted, and what speaks against it? Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::to_the_second,
        deletion::{DeletionPolicy, RevocationReason},
        issuance::{IssuanceState, Request},
        names::annotation,
    },
    cluster::Next,
    retire::{
        deleted::{end, epitaph},
        facts::{Claim, Definition, Escrow, Listing, Live, Situation, Stored},
        plan::{Change, RECHECK, Step, Told, changed, recheck, until, wait_for_expiry, write},
        unattended::{held, is_waiting, note},
    },
};

/// How long an orphan is left alone even where its Secret is gone too: watches of different kinds
/// do not tell in order, and others may follow.
const SETTLE: SignedDuration = SignedDuration::from_secs(10);

/// No Certificate keeps it, as far as is known.
pub(super) fn orphan(situation: &Situation) -> Step {
    if let Some(step) = held(situation) {
        return step;
    }
    let issuance = &situation.issuance;
    if let Some(request) = &issuance.status.request {
        let mut status = issuance.status.clone();
        status.state = Some(IssuanceState::Revoking);
        status.message = Some(format!("asked for by {}", request.by));
        return write(status);
    }
    if issuance.state() == IssuanceState::Superseded {
        return wait_for_expiry(situation);
    }
    let Some(since) = since(situation) else {
        return match grounds(situation) {
            Grounds::Unknown => Step::Ask,
            Grounds::None(next) => Step::Nothing(next),
            Grounds::Against(why) => hold(situation, why),
            Grounds::Good(_) => begin(situation),
        };
    };
    if issuance.policy == DeletionPolicy::Retain {
        let mut status = issuance.status.clone();
        status.state = Some(IssuanceState::Orphaned);
        status.message = Some("kept, as its policy is Retain".to_owned());
        let change = Change::of(status);
        return changed(situation, change).unwrap_or_else(|| wait_for_expiry(situation));
    }
    if let Some(wait) = not_yet(situation, since) {
        return Step::Nothing(wait);
    }
    // Before the API server is asked: it may be on for long, and for thousands.
    if situation.brake && !issuance.is_confirmed {
        return hold(situation, braked());
    }
    let live = match grounds(situation) {
        Grounds::Unknown => return Step::Ask,
        Grounds::None(next) => return Step::Nothing(next),
        Grounds::Against(why) => return hold(situation, why),
        Grounds::Good(live) => live,
    };
    if let Some(user) = live.used_by.first() {
        return hold(situation, format!("still used: {user}"));
    }
    match issuance.treatment() {
        DeletionPolicy::Revoke => {
            let mut status = issuance.status.clone();
            status.state = Some(IssuanceState::Revoking);
            status.message = None;
            status.request = Some(Request {
                by: format!("deletion of Certificate {}", issuance.certificate),
                reason: RevocationReason::CessationOfOperation,
                time: to_the_second(situation.now),
            });
            write(status)
        }
        DeletionPolicy::Delete if live.stored == Stored::This => {
            Step::DeleteSecret(issuance.secret.clone())
        }
        DeletionPolicy::Delete | DeletionPolicy::Retain => {
            let mut status = issuance.status.clone();
            status.state = Some(IssuanceState::Deleted);
            status.message = Some(epitaph(live.stored, issuance.is_revocable()));
            write(status)
        }
    }
}

/// Whether there is reason enough to act on the absence of its Certificate.
enum Grounds<'a> {
    /// The API server was not asked yet.
    Unknown,
    /// There is none now; look again then.
    None(Next),
    /// This speaks against it.
    Against(String),
    /// There is.
    Good(&'a Live),
}

fn grounds(situation: &Situation) -> Grounds<'_> {
    let issuance = &situation.issuance;
    let Some(live) = &situation.live else {
        return Grounds::Unknown;
    };
    if live.is_kept {
        return Grounds::None(Next::After(recheck(situation)));
    }
    match live.definition {
        Definition::Ending => Grounds::None(Next::After(recheck(situation))),
        // Both are told to the second: in the same one, it is not known which came first.
        Definition::Since(time) if time >= issuance.since && !issuance.is_confirmed => {
            Grounds::Against(
                "its Certificate went with the definition of all Certificates, which is new"
                    .to_owned(),
            )
        }
        Definition::Since(_) => Grounds::Good(live),
    }
}

/// Its Certificate is gone.
fn begin(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    let mut status = issuance.status.clone();
    status.state = Some(IssuanceState::Orphaned);
    status.orphaned_since = Some(to_the_second(situation.now));
    status.message = None;
    let policy = situation.last_policy.unwrap_or(issuance.policy);
    let what = fate(policy, issuance.is_revocable());
    let change = Change {
        policy: (policy != issuance.policy).then_some(policy),
        told: Some(Told {
            warning: false,
            reason: "Orphaned",
            message: format!("Certificate {} is gone: {what}", issuance.certificate),
        }),
        ..Change::of(status)
    };
    Step::Write(Box::new(change))
}

/// What follows on the end of a Certificate, in words.
pub(super) fn fate(policy: DeletionPolicy, is_revocable: bool) -> &'static str {
    match policy {
        DeletionPolicy::Revoke if is_revocable => "it is revoked",
        DeletionPolicy::Revoke | DeletionPolicy::Delete => "its Secret is deleted",
        DeletionPolicy::Retain => "it is kept",
    }
}

/// Something speaks against going on.
fn hold(situation: &Situation, why: String) -> Step {
    let mut status = situation.issuance.status.clone();
    status.state = Some(IssuanceState::Held);
    status.message = Some(why.clone());
    let change = Change {
        told: Some(Told {
            warning: true,
            reason: "Held",
            message: format!("neither revoked nor deleted: {why}"),
        }),
        ..Change::of(status)
    };
    let wait = Step::Nothing(Next::After(recheck(situation)));
    changed(situation, change).unwrap_or(wait)
}

fn braked() -> String {
    format!(
        "too many certificates were orphaned at once; if that was meant, annotate the Issuances \
         with {}=true",
        annotation::CONFIRM
    )
}

/// It is being revoked: the decision stands, whoever may come back.
pub(super) fn revoke(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    match &situation.listing {
        // No CA is asked: it is done when the list that holds it is stored, or when there is none.
        Some(Listing::Stored | Listing::Never(_)) => return Step::Revoke,
        Some(Listing::Awaited(why)) => {
            let mut status = issuance.status.clone();
            status.message = Some(why.clone());
            let wait = Step::Nothing(Next::After(RECHECK));
            return changed(situation, Change::of(status)).unwrap_or(wait);
        }
        None => {}
    }
    let is_orphan = issuance.status.orphaned_since.is_some();
    if is_orphan && situation.brake && !issuance.is_confirmed {
        return Step::Nothing(Next::After(recheck(situation)));
    }
    match &issuance.status.next_try {
        Some(at) if at.0 > situation.now => Step::Nothing(Next::After(until(situation.now, at.0))),
        Some(_) | None => Step::Revoke,
    }
}

/// Nothing is left to do at the CA.
pub(super) fn finish(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    // First: without records, nobody knows of the copy.
    if situation.escrow == Escrow::Unneeded {
        return Step::DropAccountKey;
    }
    if end(issuance).is_some_and(|end| situation.now > end) {
        return Step::DeleteRecord;
    }
    let may_delete = situation.claim == Claim::Nobody
        && situation.stored == Stored::This
        && issuance.policy != DeletionPolicy::Retain;
    if !may_delete || is_waiting(issuance) {
        return wait_for_expiry(situation);
    }
    if let Some(step) = note(situation) {
        return step;
    }
    let Some(since) = since(situation) else {
        // Revoked while its Certificate was there, or expired, and orphaned only now.
        return match grounds(situation) {
            Grounds::Unknown => Step::Ask,
            Grounds::None(next) => Step::Nothing(next),
            Grounds::Against(_) => wait_for_expiry(situation),
            Grounds::Good(_) => {
                let mut status = issuance.status.clone();
                status.orphaned_since = Some(to_the_second(situation.now));
                write(status)
            }
        };
    };
    if let Some(wait) = not_yet(situation, since) {
        return Step::Nothing(wait);
    }
    if situation.brake && !issuance.is_confirmed {
        return Step::Nothing(Next::After(recheck(situation)));
    }
    match grounds(situation) {
        Grounds::Unknown => Step::Ask,
        Grounds::None(next) => Step::Nothing(next),
        Grounds::Good(live) if live.used_by.is_empty() && live.stored == Stored::This => {
            Step::DeleteSecret(issuance.secret.clone())
        }
        Grounds::Good(_) | Grounds::Against(_) => Step::Nothing(Next::After(recheck(situation))),
    }
}

fn since(situation: &Situation) -> Option<Timestamp> {
    let since = situation.issuance.status.orphaned_since.as_ref();
    since.map(|time| time.0)
}

/// How long an orphan is still kept. A Secret that the caches do not know may be there all the same, without
/// its label, or not yet known: once the API server was asked, what that says counts.
fn not_yet(situation: &Situation, since: Timestamp) -> Option<Next> {
    let live = situation.live.as_ref().map(|live| live.stored);
    let delay = match live.unwrap_or(situation.stored) {
        Stored::This | Stored::Other => situation.settings.delay,
        Stored::Gone => situation.settings.delay.min(SETTLE),
    };
    let due = since.checked_add(delay).unwrap_or(Timestamp::MAX);
    (situation.now < due).then(|| Next::After(until(situation.now, due)))
}

#[cfg(test)]
mod tests;
