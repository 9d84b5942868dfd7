//! What is left of a certificate that was not revoked, and whose Secret was deleted? Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::issuance::IssuanceState,
    cluster::Next,
    retire::{
        facts::{Escrow, IssuanceFacts, Situation, Stored},
        plan::{LONGEST_SLEEP, Step, until, write},
    },
};

/// How long the record of a certificate is kept after the last that may become of it.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is said of a certificate that was not revoked, and whose Secret is none of it any more.
pub(super) fn epitaph(stored: Stored, is_revocable: bool) -> String {
    let secret = match stored {
        Stored::Gone | Stored::This => "its Secret is gone",
        Stored::Other => "its Secret holds another",
    };
    let why = match is_revocable {
        true => "not revoked, as its policy is Delete",
        false => "there is nobody to tell that it is revoked",
    };
    format!("{secret}; {why}")
}

/// Its Secret was deleted with its Certificate. One that somebody puts back is theirs.
pub(super) fn deleted(situation: &Situation) -> Step {
    let issuance = &situation.issuance;
    if issuance.status.request.is_some() && issuance.is_revocable() {
        let mut status = issuance.status.clone();
        status.state = Some(IssuanceState::Revoking);
        status.message = None;
        return write(status);
    }
    match end(issuance) {
        // First: without records, nobody knows of the copy.
        Some(end) if situation.now > end && situation.escrow == Escrow::Unneeded => {
            Step::DropAccountKey
        }
        Some(end) if situation.now > end => Step::DeleteRecord,
        Some(end) => Step::Nothing(Next::After(until(situation.now, end).min(LONGEST_SLEEP))),
        None => Step::Nothing(Next::After(LONGEST_SLEEP)),
    }
}

/// Until when its record is kept. Of what nobody can revoke, some live for decades; and some expired
/// long before anybody deleted them.
pub(super) fn end(issuance: &IssuanceFacts) -> Option<Timestamp> {
    let orphaned = issuance.status.orphaned_since.as_ref().map(|time| time.0);
    let last = match orphaned {
        Some(since) if issuance.is_revocable() => since.max(issuance.not_after),
        Some(since) => since,
        None => issuance.not_after,
    };
    last.checked_add(KEPT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            deletion::{DeletionPolicy, RevocationReason},
            issuance::Request,
        },
        retire::samples::{assert_all, at, changed_by, due, keeps, time, unrevocable},
    };

    #[test]
    fn what_was_deleted_is_over_unless_it_comes_back() {
        let deleted = |change: fn(&mut Situation, &mut IssuanceFacts)| {
            let mut situation = due();
            situation.stored = Stored::Gone;
            let mut issuance = (*situation.issuance).clone();
            issuance.policy = DeletionPolicy::Delete;
            issuance.status.state = Some(IssuanceState::Deleted);
            change(&mut situation, &mut issuance);
            situation.issuance = issuance.into();
            situation
        };
        let asked = |i: &mut IssuanceFacts| {
            i.status.request = Some(Request {
                by: "somebody".into(),
                reason: RevocationReason::KeyCompromise,
                time: time("2026-02-01T00:00:00Z"),
            });
        };
        assert_all(vec![
            ("over", deleted(|_, _| ()), "nothing"),
            (
                "somebody put the Secret back",
                deleted(|s, _| s.stored = Stored::This),
                "nothing",
            ),
            (
                "its Certificate is back, and makes another",
                deleted(|s, _| s.claim = keeps(|keeper| keeper.is_issuing = true)),
                "nothing",
            ),
            (
                "its Certificate has another",
                deleted(|s, _| {
                    s.claim = keeps(|_| ());
                    s.stored = Stored::Other;
                }),
                "nothing",
            ),
            (
                "both are back",
                deleted(|s, _| {
                    s.claim = keeps(|keeper| keeper.uid = "another".into());
                    s.stored = Stored::This;
                }),
                "Active",
            ),
            (
                "it is to be revoked after all",
                deleted(|s, _| {
                    s.claim = keeps(|keeper| {
                        keeper.annotation = Some("keyCompromise,serial=abc".into());
                    });
                    s.stored = Stored::Other;
                }),
                "Revoking",
            ),
            (
                "it was asked for",
                changed_by(deleted(|_, _| ()), asked),
                "Revoking",
            ),
            (
                "it was asked for, and nobody can",
                changed_by(deleted(|_, _| ()), |i| {
                    asked(i);
                    unrevocable(i);
                }),
                "nothing",
            ),
            (
                "expired",
                deleted(|s, _| s.now = at("2026-04-02T00:00:00Z")),
                "nothing",
            ),
            (
                "expired long ago",
                deleted(|s, _| s.now = at("2026-05-02T00:00:00Z")),
                "delete record",
            ),
            (
                "expired long ago, and its account key is kept for nobody else",
                deleted(|s, _| {
                    s.escrow = Escrow::Unneeded;
                    s.now = at("2026-05-02T00:00:00Z");
                }),
                "drop account key",
            ),
            (
                "it may be revoked after all",
                deleted(|s, _| s.escrow = Escrow::Unneeded),
                "nothing",
            ),
            (
                "expired long before its Certificate went",
                deleted(|s, i| {
                    i.not_after = at("2025-01-01T00:00:00Z");
                    s.now = at("2026-03-01T00:00:00Z");
                }),
                "nothing",
            ),
            // Some that nobody can revoke live for decades.
            (
                "deleted long ago",
                deleted(|s, i| {
                    unrevocable(i);
                    s.now = at("2026-03-03T00:00:00Z");
                }),
                "delete record",
            ),
            (
                "deleted a while ago",
                deleted(|s, i| {
                    unrevocable(i);
                    s.now = at("2026-03-01T00:00:00Z");
                }),
                "nothing",
            ),
        ]);
    }
}
