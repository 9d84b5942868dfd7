//! Does what is no longer wanted go in time, and nothing by mistake?

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::retire::{
    plan::{backoff, plan},
    samples::{
        assert_all, at, changed_by, confirmed, due, gone, keeps, time, unrevocable, when, word,
    },
};

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
                live: Some(Live {
                    stored: Stored::Gone,
                    ..confirmed()
                }),
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
            "Deleted",
        ),
        (
            "superseded before",
            changed_by(gone(None), |i| {
                i.status.state = Some(IssuanceState::Superseded);
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
fn what_nobody_can_revoke_is_deleted() {
    let gone = Situation {
        live: Some(Live {
            stored: Stored::Gone,
            ..confirmed()
        }),
        ..due()
    };
    assert_all(vec![
        ("Revoke", changed_by(due(), unrevocable), "delete secret"),
        (
            "Revoke, done",
            changed_by(gone.clone(), unrevocable),
            "Deleted",
        ),
        (
            "asked for",
            changed_by(due(), |i| {
                unrevocable(i);
                i.policy = DeletionPolicy::Retain;
            }),
            "Orphaned",
        ),
        (
            "in use",
            changed_by(
                Situation {
                    live: Some(Live {
                        used_by: vec!["Issuer".into()],
                        ..confirmed()
                    }),
                    ..due()
                },
                unrevocable,
            ),
            "Held",
        ),
        (
            "another certificate has the key that others know",
            changed_by(
                Situation {
                    compromised_by: Some("somebody".into()),
                    ..due()
                },
                unrevocable,
            ),
            "delete secret",
        ),
    ]);
    let message = |situation: &Situation| match plan(situation) {
        Step::Write(change) => change.status.message.unwrap(),
        step => panic!("{step:?}"),
    };
    let told = message(&changed_by(gone.clone(), unrevocable));
    assert_eq!(
        told,
        "its Secret is gone; there is nobody to tell that it is revoked"
    );
    let other = Situation {
        live: Some(Live {
            stored: Stored::Other,
            ..confirmed()
        }),
        ..changed_by(gone, |i| i.policy = DeletionPolicy::Delete)
    };
    let told = message(&other);
    assert_eq!(
        told,
        "its Secret holds another; not revoked, as its policy is Delete"
    );
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
                l.definition = Definition::Since(at("2026-01-15T00:00:00Z"));
            }),
            "Held",
        ),
        (
            "the definition is of the same second",
            live(gone(None), |l| {
                l.definition = Definition::Since(at("2026-01-01T00:00:00Z"));
            }),
            "Held",
        ),
        (
            "the definition is new, and somebody confirmed",
            changed_by(
                live(gone(None), |l| {
                    l.definition = Definition::Since(at("2026-01-15T00:00:00Z"));
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
fn what_waits_for_somebody_asks_the_api_server_for_nothing_or_seldom() {
    let unasked = || Situation {
        live: None,
        ..due()
    };
    assert_all(vec![
        (
            "too many at once",
            Situation {
                brake: true,
                ..unasked()
            },
            "Held",
        ),
        (
            "to be kept",
            changed_by(unasked(), |i| i.policy = DeletionPolicy::Retain),
            "Orphaned",
        ),
    ]);
    // (delay, since when, the pause, all in seconds)
    let table = [
        (3600, 3600, 300),
        (3600, 3600 + 8 * 301, 301),
        (3600, 1_000_000, 3600),
        (0, 0, 1),
        (0, 80, 10),
        (30, 40, 30),
        (3600, 0, 300),
    ];
    for (delay, ago, want) in table {
        let mut held = due();
        held.settings.delay = SignedDuration::from_secs(delay);
        let since = held.now - SignedDuration::from_secs(ago);
        let held = changed_by(held, |i| i.status.orphaned_since = Some(Time(since)));
        assert_eq!(recheck(&held), Duration::from_secs(want), "{delay} {ago}");
    }
}

#[test]
fn a_secret_that_the_caches_do_not_know_is_kept_for_the_delay_too() {
    let unknown = |stored| Situation {
        stored: Stored::Gone,
        live: Some(Live {
            stored,
            ..confirmed()
        }),
        ..gone(Some("2026-01-31T23:30:00Z"))
    };
    let unasked = Situation {
        live: None,
        ..unknown(Stored::Gone)
    };
    assert_all(vec![
        ("not asked", unasked, "ask"),
        ("it is gone", unknown(Stored::Gone), "Revoking"),
        ("it is there", unknown(Stored::This), "nothing"),
        ("another is", unknown(Stored::Other), "nothing"),
    ]);
    let half_an_hour = Step::Nothing(Next::After(Duration::from_secs(1800)));
    assert_eq!(plan(&unknown(Stored::This)), half_an_hour);
}

#[test]
fn what_no_ca_is_asked_for_is_done_with_the_list() {
    let listed = |listing| Situation {
        listing: Some(listing),
        brake: true,
        ..changed_by(due(), |i| {
            i.account = None;
            i.status.state = Some(IssuanceState::Revoking);
            i.status.next_try = Some(time("2026-02-01T00:00:30Z"));
            i.status.message = Some("waits".to_owned());
        })
    };
    let awaited = |why: &str| listed(Listing::Awaited(why.to_owned()));
    assert_all(vec![
        ("stored", listed(Listing::Stored), "revoke"),
        ("never", listed(Listing::Never("gone".to_owned())), "revoke"),
        ("told already", awaited("waits"), "nothing"),
        ("to be told", awaited("the CA may not sign"), "Revoking"),
    ]);
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
}

#[test]
fn pauses_grow_as_far_as_the_time_left_allows() {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let seconds = |left: SignedDuration| -> Vec<i64> {
        let pause = |tries| backoff(tries, left).as_secs();
        (1..=12).map(pause).collect()
    };
    let table = [
        (
            days(60),
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600],
        ),
        (
            days(1),
            [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800],
        ),
        (
            SignedDuration::from_hours(2),
            [5, 10, 20, 40, 80, 150, 150, 150, 150, 150, 150, 150],
        ),
        (
            SignedDuration::from_mins(10),
            [5, 10, 20, 40, 60, 60, 60, 60, 60, 60, 60, 60],
        ),
        (
            SignedDuration::from_secs(-1),
            [5, 10, 20, 40, 60, 60, 60, 60, 60, 60, 60, 60],
        ),
    ];
    for (left, want) in table {
        assert_eq!(seconds(left), want, "{left}");
    }
    // However short it lives.
    for hours in [1, 6, 24, 53, 160, 24 * 90] {
        let mut left = SignedDuration::from_hours(hours);
        let mut tries = 0;
        while left.is_positive() {
            tries += 1;
            left -= backoff(tries, left);
        }
        assert!(tries >= 50, "{tries} in {hours} h");
    }
}
