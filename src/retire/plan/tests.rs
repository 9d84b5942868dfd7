//! Is every certificate treated as its Certificate, its Secret and the cluster stand?

use super::*;
use crate::{
    api::issuance::Revocation,
    retire::{
        facts::IssuanceFacts,
        samples::{at, keeper, situation, time},
    },
};

const OPENED: &str = "2025-01-01T00:00:00Z";

/// A situation, and what is different in it.
fn when(change: impl FnOnce(&mut Situation, &mut IssuanceFacts)) -> Situation {
    let mut situation = situation();
    let mut issuance = (*situation.issuance).clone();
    change(&mut situation, &mut issuance);
    situation.issuance = issuance.into();
    situation
}

/// Its Certificate is gone since so long, and the API server confirms it.
fn gone(since: Option<&str>) -> Situation {
    when(|situation, issuance| {
        situation.claim = Claim::Nobody;
        situation.live = Some(confirmed());
        if let Some(since) = since {
            issuance.status.state = Some(IssuanceState::Orphaned);
            issuance.status.orphaned_since = Some(time(since));
        }
    })
}

/// As [`gone`], long enough for anything to follow.
fn due() -> Situation {
    gone(Some("2026-01-31T00:00:00Z"))
}

fn confirmed() -> Live {
    Live {
        is_kept: false,
        definition: Definition::Since(at(OPENED)),
        used_by: Vec::new(),
        stored: Stored::This,
    }
}

fn changed_by(mut situation: Situation, change: impl FnOnce(&mut IssuanceFacts)) -> Situation {
    let mut issuance = (*situation.issuance).clone();
    change(&mut issuance);
    situation.issuance = issuance.into();
    situation
}

/// A step in a word: the state that is written, or what is done.
fn word(step: &Step) -> &'static str {
    match step {
        Step::Nothing(_) => "nothing",
        Step::Ask => "ask",
        Step::Write(change) => change
            .status
            .state
            .map_or("no state", IssuanceState::as_str),
        Step::Revoke => "revoke",
        Step::DeleteSecret => "delete secret",
        Step::KeepAccountKey => "keep account key",
        Step::DropAccountKey => "drop account key",
        Step::DeleteRecord => "delete record",
    }
}

fn assert_all(table: Vec<(&str, Situation, &str)>) {
    for (name, situation, want) in table {
        let step = plan(&situation);
        assert_eq!(word(&step), want, "{name}: {step:?}");
    }
}

fn keeps(change: impl FnOnce(&mut Keeper)) -> Claim {
    let mut keeper = keeper();
    change(&mut keeper);
    Claim::Kept(keeper)
}

#[test]
fn what_a_certificate_keeps_is_left_alone() {
    let state =
        |state| move |_: &mut Situation, i: &mut IssuanceFacts| i.status.state = Some(state);
    assert_all(vec![
        ("kept", situation(), "nothing"),
        (
            "not stored yet",
            when(|s, _| {
                s.stored = Stored::Other;
                s.claim = keeps(|keeper| keeper.is_issuing = true);
            }),
            "nothing",
        ),
        (
            "the Secret was lost",
            when(|s, _| s.stored = Stored::Gone),
            "nothing",
        ),
        (
            "another took its place",
            when(|s, _| s.stored = Stored::Other),
            "Superseded",
        ),
        (
            "another took its place before",
            when(|s, i| {
                s.stored = Stored::Other;
                i.status.state = Some(IssuanceState::Superseded);
            }),
            "nothing",
        ),
        (
            "put back from a backup",
            when(state(IssuanceState::Superseded)),
            "Active",
        ),
        (
            "its Certificate names another Secret",
            when(|s, _| s.claim = Claim::Elsewhere),
            "Superseded",
        ),
        (
            "of another cluster",
            when(|s, _| {
                s.is_ours = false;
                s.claim = Claim::Nobody;
            }),
            "nothing",
        ),
        (
            "expired",
            when(|s, _| s.now = at("2026-04-01T00:00:01Z")),
            "Expired",
        ),
        (
            "expired long ago",
            when(|s, i| {
                s.now = at("2026-05-02T00:00:00Z");
                i.status.state = Some(IssuanceState::Expired);
            }),
            "delete record",
        ),
    ]);
}

#[test]
fn an_orphan_is_kept_for_the_delay_and_then_revoked() {
    assert_all(vec![
        ("not asked yet", when(|s, _| s.claim = Claim::Nobody), "ask"),
        ("gone now", gone(None), "Orphaned"),
        (
            "gone for less than the delay",
            gone(Some("2026-01-31T23:30:00Z")),
            "nothing",
        ),
        (
            "after the delay, not asked",
            Situation {
                live: None,
                ..due()
            },
            "ask",
        ),
        ("after the delay", due(), "Revoking"),
        (
            "its Secret went too, just now",
            Situation {
                stored: Stored::Gone,
                ..gone(Some("2026-01-31T23:59:55Z"))
            },
            "nothing",
        ),
        (
            "its Secret went too",
            Situation {
                stored: Stored::Gone,
                ..gone(Some("2026-01-31T23:59:50Z"))
            },
            "Revoking",
        ),
        (
            "Retain",
            changed_by(due(), |i| {
                i.policy = DeletionPolicy::Retain;
                i.status.message = Some("kept, as its policy is Retain".into());
            }),
            "nothing",
        ),
        (
            "Delete",
            changed_by(due(), |i| i.policy = DeletionPolicy::Delete),
            "delete secret",
        ),
        (
            "Delete, done",
            changed_by(
                Situation {
                    live: Some(Live {
                        stored: Stored::Gone,
                        ..confirmed()
                    }),
                    ..due()
                },
                |i| i.policy = DeletionPolicy::Delete,
            ),
            "Orphaned",
        ),
        (
            "superseded before",
            changed_by(gone(None), |i| {
                i.status.state = Some(IssuanceState::Superseded)
            }),
            "nothing",
        ),
    ]);
    let Step::Write(change) = plan(&due()) else {
        panic!()
    };
    let request = change.status.request.unwrap();
    assert_eq!(request.reason, RevocationReason::CessationOfOperation);
    assert_eq!(request.by, "deletion of Certificate web/www");

    // What the Certificate said last counts, though it is not written down.
    let retained = Situation {
        last_policy: Some(DeletionPolicy::Retain),
        ..gone(None)
    };
    let Step::Write(change) = plan(&retained) else {
        panic!()
    };
    assert_eq!(change.policy, Some(DeletionPolicy::Retain));
}

#[test]
fn nothing_goes_by_mistake() {
    let live = |situation: Situation, change: fn(&mut Live)| {
        let mut live = confirmed();
        change(&mut live);
        Situation {
            live: Some(live),
            ..situation
        }
    };
    assert_all(vec![
        (
            "the cache is behind",
            live(gone(None), |l| l.is_kept = true),
            "nothing",
        ),
        (
            "the definition goes",
            live(gone(None), |l| l.definition = Definition::Ending),
            "nothing",
        ),
        (
            "the definition goes later",
            live(due(), |l| l.definition = Definition::Ending),
            "nothing",
        ),
        (
            "the definition is new",
            live(gone(None), |l| {
                l.definition = Definition::Since(at("2026-01-15T00:00:00Z"))
            }),
            "Held",
        ),
        (
            "the definition is new, and somebody confirmed",
            changed_by(
                live(gone(None), |l| {
                    l.definition = Definition::Since(at("2026-01-15T00:00:00Z"))
                }),
                |i| i.is_confirmed = true,
            ),
            "Orphaned",
        ),
        (
            "an Ingress names the Secret",
            live(due(), |l| l.used_by.push("Ingress".into())),
            "Held",
        ),
        (
            "too many at once",
            Situation {
                brake: true,
                ..due()
            },
            "Held",
        ),
        (
            "too many at once, confirmed",
            changed_by(
                Situation {
                    brake: true,
                    ..due()
                },
                |i| i.is_confirmed = true,
            ),
            "Revoking",
        ),
        (
            "too many at once, begun before",
            changed_by(
                Situation {
                    brake: true,
                    ..due()
                },
                |i| {
                    i.status.state = Some(IssuanceState::Revoking);
                },
            ),
            "nothing",
        ),
    ]);
}

#[test]
fn who_comes_back_in_time_keeps_it() {
    for state in [IssuanceState::Orphaned, IssuanceState::Held] {
        let back = when(|s, i| {
            s.claim = keeps(|keeper| keeper.uid = "another".into());
            i.status.state = Some(state);
            i.status.orphaned_since = Some(time("2026-01-31T23:30:00Z"));
        });
        let Step::Write(change) = plan(&back) else {
            panic!("{state}")
        };
        assert_eq!(change.status.state, Some(IssuanceState::Active));
        assert_eq!(change.status.orphaned_since, None);
        assert_eq!(change.keeper, Some(("www".into(), "another".into())));
        assert!(change.told.is_some());
    }
    // Once it is being revoked, the decision stands: who comes back gets another.
    let late = when(|_, i| i.status.state = Some(IssuanceState::Revoking));
    assert_eq!(plan(&late), Step::Revoke);
}

#[test]
fn a_revocation_is_tried_again_until_it_is_over() {
    let waits = changed_by(due(), |i| {
        i.status.state = Some(IssuanceState::Revoking);
        i.status.next_try = Some(time("2026-02-01T00:00:30Z"));
    });
    assert_eq!(
        plan(&waits),
        Step::Nothing(Next::After(Duration::from_secs(30)))
    );
    let expired = Situation {
        now: at("2026-04-02T00:00:00Z"),
        ..waits
    };
    assert_eq!(word(&plan(&expired)), "Expired");
    let done = |state| changed_by(due(), move |i| i.status.state = Some(state));
    assert_all(vec![
        ("revoked", done(IssuanceState::Revoked), "delete secret"),
        (
            "unrevocable",
            done(IssuanceState::Unrevocable),
            "delete secret",
        ),
        (
            "not asked",
            Situation {
                live: None,
                ..done(IssuanceState::Revoked)
            },
            "ask",
        ),
        (
            "no Secret",
            Situation {
                stored: Stored::Gone,
                ..done(IssuanceState::Revoked)
            },
            "nothing",
        ),
        (
            "another one in it",
            Situation {
                stored: Stored::Other,
                ..done(IssuanceState::Revoked)
            },
            "nothing",
        ),
        (
            "kept again",
            Situation {
                claim: keeps(|_| ()),
                ..done(IssuanceState::Revoked)
            },
            "nothing",
        ),
    ]);
    let seconds: Vec<i64> = (1..=12).map(|tries| backoff(tries).as_secs()).collect();
    assert_eq!(
        seconds,
        [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    );
}

#[test]
fn an_account_key_outlives_its_namespace_as_long_as_it_is_needed() {
    let ending = || when(|s, _| s.is_namespace_ending = true);
    let revoked = |escrow| {
        when(move |s, i| {
            s.escrow = escrow;
            s.claim = Claim::Nobody;
            s.stored = Stored::Gone;
            i.status.state = Some(IssuanceState::Revoked);
        })
    };
    assert_all(vec![
        ("the namespace goes", ending(), "keep account key"),
        (
            "kept already",
            Situation {
                escrow: Escrow::Unneeded,
                ..ending()
            },
            "nothing",
        ),
        (
            "nothing will be revoked",
            changed_by(ending(), |i| i.policy = DeletionPolicy::Retain),
            "Active",
        ),
        (
            "the key is elsewhere",
            changed_by(ending(), |i| {
                let key = crate::cluster::ObjectKey::new("certwright", "account");
                i.account.as_mut().unwrap().key = key;
            }),
            "nothing",
        ),
        ("others need it", revoked(Escrow::Needed), "nothing"),
        (
            "nobody needs it",
            revoked(Escrow::Unneeded),
            "drop account key",
        ),
    ]);
}

#[test]
fn on_demand_another_comes_first_but_for_a_key_that_others_have() {
    let asks = |text: &str| {
        let text = text.to_owned();
        when(|s, _| s.claim = keeps(move |keeper| keeper.annotation = Some(text)))
    };
    let requested = |reason| {
        move |i: &mut IssuanceFacts| {
            i.status.request = Some(Request {
                by: "somebody".into(),
                reason,
                time: time("2026-01-31T00:00:00Z"),
            });
        }
    };
    use RevocationReason::{KeyCompromise, Superseded};
    assert_all(vec![
        ("superseded", asks("superseded"), "Active"),
        ("a compromised key", asks("keyCompromise"), "Revoking"),
        (
            "this serial",
            asks("keyCompromise,serial=0A:BC"),
            "Revoking",
        ),
        ("another serial", asks("keyCompromise,serial=1"), "nothing"),
        ("no reason", asks("please"), "nothing"),
        (
            "said before it was issued",
            changed_by(asks("superseded"), |i| {
                i.earlier_request = Some("superseded".into())
            }),
            "nothing",
        ),
        (
            "not said any more",
            when(|_, i| i.earlier_request = Some("superseded".into())),
            "Active",
        ),
        (
            "another has taken its place",
            changed_by(
                Situation {
                    stored: Stored::Other,
                    ..situation()
                },
                requested(Superseded),
            ),
            "Revoking",
        ),
        (
            "its Certificate went meanwhile",
            changed_by(gone(None), requested(Superseded)),
            "Revoking",
        ),
        (
            "the same key in another",
            Situation {
                compromised_by: Some("somebody".into()),
                ..situation()
            },
            "Revoking",
        ),
    ]);
    let old = Situation {
        stored: Stored::Other,
        ..asks("superseded,serial=abc")
    };
    assert_eq!(word(&plan(&old)), "Revoking");
    // Asked for and done: once.
    let done = changed_by(asks("keyCompromise"), |i| {
        requested(KeyCompromise)(i);
        i.status.state = Some(IssuanceState::Revoked);
        i.status.revocation = Some(Revocation {
            by: "somebody".into(),
            reason: KeyCompromise,
            signed_by: None,
            time: time("2026-01-31T00:00:00Z"),
        });
    });
    assert_eq!(word(&plan(&done)), "nothing");
}
