//! Its Certificate may have gone while another program worked in the operator's place: what then? Pure.
//!
//! Under cert-manager the Secret of a Certificate that is deleted stays and may be used on, whatever
//! its policy says. So nothing follows until somebody who knows confirms it.

use crate::{
    api::{
        condition::to_the_second,
        deletion::{DeletionPolicy, RevocationReason},
        issuance::{IssuanceState, IssuanceStatus, Request},
        names::annotation,
    },
    retire::{
        facts::{Claim, IssuanceFacts, Listing, Situation, Stored},
        plan::{Change, Step, Told, changed, wait_for_expiry, write},
    },
};

/// What is to be written down before anything else is decided, if anything is.
pub(super) fn note(situation: &Situation) -> Option<Step> {
    if !situation.is_unattended || is_stored_on_list(situation) {
        return None;
    }
    match &situation.claim {
        Claim::Kept(_) => taken_back(situation),
        // Nobody is to lose what it says.
        Claim::Elsewhere => None,
        Claim::Nobody => marked(situation),
    }
}

/// What becomes of one that was noted: nothing, until somebody says so.
pub(super) fn held(situation: &Situation) -> Option<Step> {
    let issuance = &situation.issuance;
    if !is_waiting(issuance) {
        return None;
    }
    let change = waiting(issuance, issuance.status.clone());
    Some(changed(situation, change).unwrap_or_else(|| wait_for_expiry(situation)))
}

/// Nothing follows, by its policy or until somebody says so.
fn waiting(issuance: &IssuanceFacts, mut status: IssuanceStatus) -> Change {
    if issuance.policy == DeletionPolicy::Retain {
        status.state = Some(IssuanceState::Orphaned);
        status.message = Some("kept, as its policy is Retain".to_owned());
        return Change::of(status);
    }
    status.state = Some(IssuanceState::Held);
    status.message = Some(why());
    let told = Told {
        warning: true,
        reason: "Held",
        message: format!("neither revoked nor deleted: {}", why()),
    };
    Change {
        told: Some(told),
        ..Change::of(status)
    }
}

/// Whether nothing may follow until somebody says so.
pub(super) fn is_waiting(issuance: &IssuanceFacts) -> bool {
    let Some(since) = &issuance.status.unattended_since else {
        return false;
    };
    // Who asked for its revocation after that has said so.
    let asked = issuance.status.request.as_ref();
    let is_asked = asked.is_some_and(|asked| is_urgent(asked) || asked.time.0 > since.0);
    !issuance.is_confirmed && !is_asked
}

/// It was to be revoked as its Certificate was gone, and one that did not know has taken it over since:
/// that one gets another first.
fn taken_back(situation: &Situation) -> Option<Step> {
    let issuance = &situation.issuance;
    let is_of_orphan = issuance.status.orphaned_since.is_some();
    let is_urgent = issuance.status.request.as_ref().is_some_and(is_urgent);
    if issuance.state() != IssuanceState::Revoking
        || situation.stored != Stored::This
        || !is_of_orphan
        || is_urgent
    {
        return None;
    }
    let mut status = issuance.status.clone();
    status.state = Some(IssuanceState::Active);
    status.orphaned_since = None;
    status.next_try = None;
    status.message = None;
    Some(write(status))
}

fn marked(situation: &Situation) -> Option<Step> {
    let issuance = &situation.issuance;
    let status = &issuance.status;
    let is_settled = match issuance.state() {
        IssuanceState::Superseded | IssuanceState::Deleted => true,
        // Only its Secret is left to delete.
        IssuanceState::Revoked | IssuanceState::Unrevocable | IssuanceState::Expired => {
            situation.stored != Stored::This
        }
        IssuanceState::Active
        | IssuanceState::Orphaned
        | IssuanceState::Held
        | IssuanceState::Revoking => false,
    };
    let is_urgent = status.request.as_ref().is_some_and(is_urgent);
    // Another Secret takes the place of this one.
    let is_shared = situation
        .shares
        .iter()
        .any(|shared| matches!(shared.claim, Claim::Kept(_)) && shared.stored == Stored::This);
    if is_settled || is_urgent || is_shared || status.unattended_since.is_some() {
        return None;
    }
    let now = to_the_second(situation.now);
    let mut status = status.clone();
    status.orphaned_since.get_or_insert_with(|| now.clone());
    status.unattended_since = Some(now);
    status.next_try = None;
    let change = match issuance.state().is_final() {
        true => Change::of(status),
        false => waiting(issuance, status),
    };
    let change = Change {
        // What was confirmed before was about something else.
        forget_confirmation: issuance.is_confirmed,
        ..change
    };
    Some(Step::Write(Box::new(change)))
}

/// Whoever reads the list knows that it is revoked.
fn is_stored_on_list(situation: &Situation) -> bool {
    situation.issuance.state() == IssuanceState::Revoking
        && situation.listing == Some(Listing::Stored)
}

/// Others may have its key: whoever uses it is better off without.
fn is_urgent(request: &Request) -> bool {
    request.reason == RevocationReason::KeyCompromise
}

fn why() -> String {
    format!(
        "its Certificate may have gone while another program, such as cert-manager, led: the Secret may \
         be in use; if it is not, annotate the Issuance with {}=true, else set its spec.deletionPolicy \
         to Retain",
        annotation::CONFIRM
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retire::{
        plan::plan,
        samples::{assert_all, at, changed_by, due, gone, keeps, situation, time, word},
    };

    const MARKED: &str = "2026-01-31T12:00:00Z";

    fn unattended(mut situation: Situation) -> Situation {
        situation.is_unattended = true;
        situation
    }

    /// One that was noted then.
    fn noted(change: impl FnOnce(&mut IssuanceFacts)) -> Situation {
        changed_by(due(), |issuance| {
            issuance.status.state = Some(IssuanceState::Held);
            issuance.status.unattended_since = Some(time(MARKED));
            issuance.status.message = Some(why());
            change(issuance);
        })
    }

    fn asked(reason: RevocationReason, when: &str) -> Option<Request> {
        Some(Request {
            by: "deletion of Certificate web/www".to_owned(),
            reason,
            time: time(when),
        })
    }

    #[test]
    fn orphans_of_that_time_are_noted_whatever_they_were() {
        use IssuanceState::*;
        use RevocationReason::{CessationOfOperation, KeyCompromise};

        // (state, urgent, what its Secret holds, whether it is noted)
        let table = [
            (Active, false, Stored::This, true),
            (Active, false, Stored::Gone, true),
            (Orphaned, false, Stored::This, true),
            (Held, false, Stored::This, true),
            (Revoking, false, Stored::This, true),
            (Revoking, true, Stored::This, false),
            (Superseded, false, Stored::Other, false),
            (Deleted, false, Stored::This, false),
            (Revoked, false, Stored::This, true),
            (Expired, false, Stored::This, true),
            (Expired, false, Stored::Gone, false),
            (Unrevocable, false, Stored::Other, false),
        ];
        for (state, is_urgent, stored, want) in table {
            let mut one = changed_by(due(), |issuance| {
                issuance.status.state = Some(state);
                if state == Expired {
                    issuance.not_after = at("2026-01-30T00:00:00Z");
                }
                let reason = if is_urgent {
                    KeyCompromise
                } else {
                    CessationOfOperation
                };
                if state == Revoking {
                    issuance.status.request = asked(reason, "2026-01-30T00:00:00Z");
                }
                issuance.is_confirmed = true;
            });
            one.stored = stored;
            let step = plan(&unattended(one.clone()));
            let found = match &step {
                Step::Write(change) => change.status.unattended_since.is_some(),
                _ => false,
            };
            assert_eq!(found, want, "{state} {is_urgent} {stored:?}: {step:?}");
            if let (true, Step::Write(change)) = (want, &step) {
                assert!(change.forget_confirmation);
                assert!(change.status.orphaned_since.is_some());
                assert_eq!(change.status.request, one.issuance.status.request);
            }
            let attended = plan(&one);
            assert!(
                !matches!(&attended, Step::Write(change) if change.status.unattended_since.is_some()),
                "{state}: {attended:?}"
            );
        }
    }

    #[test]
    fn what_was_noted_waits_for_somebody() {
        assert_all(vec![
            ("noted", noted(|_| ()), "nothing"),
            ("and told", noted(|i| i.status.message = None), "Held"),
            ("in that time still", unattended(noted(|_| ())), "nothing"),
            ("confirmed", noted(|i| i.is_confirmed = true), "Revoking"),
            (
                "its revocation had been asked for before",
                noted(|i| {
                    i.status.request = asked(
                        RevocationReason::CessationOfOperation,
                        "2026-01-31T00:00:00Z",
                    );
                }),
                "nothing",
            ),
            (
                "it is asked for after",
                noted(|i| {
                    i.status.request = asked(RevocationReason::Superseded, "2026-01-31T13:00:00Z");
                }),
                "Revoking",
            ),
            (
                "others have its key",
                noted(|i| {
                    i.status.request =
                        asked(RevocationReason::KeyCompromise, "2026-01-31T00:00:00Z");
                }),
                "Revoking",
            ),
            (
                "its policy was set to Retain",
                noted(|i| i.policy = DeletionPolicy::Retain),
                "Orphaned",
            ),
            (
                "it is expired",
                Situation {
                    now: at("2026-04-02T00:00:00Z"),
                    ..noted(|_| ())
                },
                "Expired",
            ),
            (
                "it is expired, and its Secret stands",
                Situation {
                    now: at("2026-04-02T00:00:00Z"),
                    ..noted(|i| i.status.state = Some(IssuanceState::Expired))
                },
                "nothing",
            ),
            (
                "that may go",
                Situation {
                    now: at("2026-04-02T00:00:00Z"),
                    ..noted(|i| {
                        i.status.state = Some(IssuanceState::Expired);
                        i.is_confirmed = true;
                    })
                },
                "delete secret",
            ),
        ]);
        let back = Situation {
            claim: keeps(|_| ()),
            ..noted(|_| ())
        };
        let step = plan(&back);
        assert_eq!(word(&step), "Active", "{step:?}");
        let Step::Write(change) = step else {
            panic!("{step:?}");
        };
        assert_eq!(change.status.unattended_since, None, "it may go again");
        // Seen going, under us.
        assert_eq!(word(&plan(&gone(None))), "Orphaned");
    }

    #[test]
    fn who_took_over_what_was_to_be_revoked_gets_another_first() {
        let taken = |stored, reason| {
            let mut one = changed_by(unattended(situation()), |issuance| {
                issuance.status.state = Some(IssuanceState::Revoking);
                issuance.status.orphaned_since = Some(time("2026-01-30T00:00:00Z"));
                issuance.status.request = asked(reason, "2026-01-30T01:00:00Z");
            });
            one.stored = stored;
            one
        };
        let cessation = RevocationReason::CessationOfOperation;
        assert_all(vec![
            ("in use", taken(Stored::This, cessation), "Active"),
            ("replaced", taken(Stored::Other, cessation), "revoke"),
            (
                "others have its key",
                taken(Stored::This, RevocationReason::KeyCompromise),
                "revoke",
            ),
            (
                "ours led all the time",
                Situation {
                    is_unattended: false,
                    ..taken(Stored::This, cessation)
                },
                "revoke",
            ),
            (
                "on the list already",
                Situation {
                    listing: Some(Listing::Stored),
                    ..taken(Stored::This, cessation)
                },
                "revoke",
            ),
        ]);
        let Step::Write(change) = plan(&taken(Stored::This, cessation)) else {
            panic!("nothing is written");
        };
        assert!(
            change.status.request.is_some(),
            "the next one is asked for by it"
        );
        assert_eq!(change.status.orphaned_since, None);
    }
}
