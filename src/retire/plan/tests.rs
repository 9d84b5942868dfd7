//! Is every certificate treated as its Certificate, its Secret and its namespace stand?

use super::*;
use crate::{
    api::issuance::Revocation,
    retire::{
        asker::Asker,
        facts::IssuanceFacts,
        samples::{
            assert_all, at, changed_by, gone, keeps, situation, time, unrevocable, when, word,
        },
    },
};

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
            "its issuer is gone, whose word counted",
            when(|s, i| {
                s.claim = keeps(|keeper| keeper.policy = None);
                i.policy = DeletionPolicy::Retain;
            }),
            "nothing",
        ),
        (
            "its issuer has another word",
            when(|_, i| i.policy = DeletionPolicy::Retain),
            "Active",
        ),
        (
            "another took the place of what nobody can revoke",
            when(|s, i| {
                s.stored = Stored::Other;
                unrevocable(i);
            }),
            "delete record",
        ),
        (
            "the Certificate of what nobody can revoke names another Secret",
            when(|s, i| {
                s.claim = Claim::Elsewhere;
                unrevocable(i);
            }),
            "delete record",
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
fn a_clock_that_was_ahead_is_undone() {
    let expired = |situation| {
        changed_by(situation, |i: &mut IssuanceFacts| {
            i.status.state = Some(IssuanceState::Expired);
        })
    };
    let replaced = when(|s, _| {
        s.claim = Claim::Nobody;
        s.stored = Stored::Other;
    });
    assert_all(vec![
        ("kept", expired(situation()), "Active"),
        ("gone meanwhile", expired(gone(None)), "Active"),
        (
            "gone before",
            expired(gone(Some("2026-01-31T00:00:00Z"))),
            "Orphaned",
        ),
        ("replaced before", expired(replaced), "Superseded"),
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
            "it went before",
            Situation {
                escrow: Escrow::Lost,
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
                let key = ObjectKey::new("certwright", "account");
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
        (
            "nobody needs it, nor the record",
            Situation {
                now: at("2026-06-01T00:00:00Z"),
                ..revoked(Escrow::Unneeded)
            },
            "drop account key",
        ),
        (
            "nobody needs the record",
            Situation {
                now: at("2026-06-01T00:00:00Z"),
                ..revoked(Escrow::None)
            },
            "delete record",
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
                i.earlier_request = Some("superseded".into());
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
    // Others have its key, as turned out later.
    for state in [IssuanceState::Active, IssuanceState::Revoking] {
        let worse = |text| {
            changed_by(asks(text), |i| {
                requested(Superseded)(i);
                i.status.state = Some(state);
                i.status.tries = Some(9);
                i.status.next_try = Some(time("2026-02-01T00:20:00Z"));
            })
        };
        let Step::Write(change) = plan(&worse("keyCompromise")) else {
            panic!("{state}")
        };
        assert_eq!(change.status.state, Some(IssuanceState::Revoking));
        assert_eq!((change.status.tries, change.status.next_try), (None, None));
        let request = change.status.request.unwrap();
        assert_eq!(request.reason, KeyCompromise);
    }
    let less = changed_by(asks("superseded"), |i| {
        requested(KeyCompromise)(i);
        i.status.state = Some(IssuanceState::Revoking);
    });
    assert_eq!(plan(&less), Step::Revoke);
    let old = Situation {
        stored: Stored::Other,
        ..asks("superseded,serial=abc")
    };
    assert_eq!(word(&plan(&old)), "Revoking");
    let own = changed_by(asks("superseded"), |i| i.account = None);
    assert_eq!(word(&plan(&own)), "nothing", "nobody can revoke it");
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

#[test]
fn who_asked_is_written_down() {
    let by = |asker| {
        let asks = when(|s, _| {
            s.claim = keeps(|keeper| {
                keeper.annotation = Some("superseded".into());
                keeper.asker = asker;
            });
        });
        let Step::Write(change) = plan(&asks) else {
            panic!("nothing is written")
        };
        change.status.request.unwrap().by
    };
    let annotation = "annotation certwright.io/revoke on Certificate web/www";
    let user = Some(Asker::User("jane".into()));
    assert_eq!(by(user), format!("user jane ({annotation})"));
    let manager = Some(Asker::Manager("kubectl-annotate".into()));
    assert_eq!(
        by(manager),
        format!("field manager kubectl-annotate ({annotation})")
    );
    assert_eq!(by(None), annotation);
}
