//! Is a certificate in several Secrets kept as long as one of them is in use, and no longer?

use super::*;
use crate::{
    api::issuance::{IssuanceStatus, Request},
    cluster::ObjectKey,
    retire::{
        facts::IssuanceFacts,
        plan::plan,
        samples::{assert_all, at, confirmed, due, gone, keeper, keeps, time, when, word},
    },
};

/// The Certificate `shop` shares it, in the Secret `shop-tls`.
fn share() -> Share {
    Share {
        secret: ObjectKey::new("web", "shop-tls"),
        certificate: "shop".into(),
        uid: "s".into(),
        since: at("2026-01-10T00:00:00Z"),
        policy: DeletionPolicy::Revoke,
        orphaned_since: None,
    }
}

fn shop() -> Claim {
    keeps(|keeper| {
        keeper.name = "shop".into();
        keeper.uid = "s".into();
    })
}

fn shared() -> Shared {
    Shared {
        share: share(),
        claim: shop(),
        stored: Stored::This,
        last_policy: None,
        is_unattended: false,
    }
}

/// `situation`, where it is in another Secret too.
fn and(mut situation: Situation, change: impl FnOnce(&mut Shared)) -> Situation {
    let mut shared = shared();
    change(&mut shared);
    let mut issuance = (*situation.issuance).clone();
    issuance.also_in.push(shared.share.clone());
    situation.issuance = issuance.into();
    situation.shares.push(shared);
    situation
}

fn kept() -> Situation {
    when(|_, _| {})
}

fn written(situation: &Situation) -> Change {
    match plan(situation) {
        Step::Write(change) => *change,
        step => panic!("{step:?}"),
    }
}

#[test]
fn nothing_is_revoked_while_another_keeps_it() {
    let superseded = |issuing: bool| {
        when(move |s, _| {
            s.stored = Stored::Other;
            s.claim = keeps(|keeper| keeper.is_issuing = issuing);
        })
    };
    let pending = |stored| {
        move |shared: &mut Shared| {
            shared.stored = stored;
            shared.share.since = at("2026-01-31T23:59:30Z");
            shared.claim = keeps_shop(|keeper| keeper.is_ready = false);
        }
    };
    let replaced = |shared: &mut Shared| {
        shared.stored = Stored::Other;
        shared.share.since = at("2026-01-31T23:59:30Z");
    };
    let failed = |stored| {
        move |shared: &mut Shared| {
            shared.stored = stored;
            shared.claim = keeps_shop(|keeper| keeper.is_ready = false);
        }
    };
    assert_all(vec![
        ("both keep it", and(kept(), |_| {}), "nothing"),
        ("the first is gone", and(gone(None), |_| {}), "Active"),
        ("long ago", and(due(), |_| {}), "Active"),
        ("it has another", and(superseded(false), |_| {}), "Active"),
        ("it gets another", and(superseded(true), |_| {}), "nothing"),
        (
            "it names another Secret",
            and(when(|s, _| s.claim = Claim::Elsewhere), |_| {}),
            "Active",
        ),
        (
            "not stored yet",
            and(due(), pending(Stored::Gone)),
            "nothing",
        ),
        ("nor that", and(due(), pending(Stored::Other)), "nothing"),
        // Never stored: the list is put right, once nothing else is to be done.
        ("never stored", and(due(), failed(Stored::Gone)), "Revoking"),
        (
            "stored another",
            and(due(), failed(Stored::Other)),
            "Revoking",
        ),
        ("it has another already", and(due(), replaced), "Revoking"),
        (
            "both are gone",
            and(due(), |shared| shared.claim = Claim::Nobody),
            "Revoking",
        ),
        (
            "both are gone, not long ago",
            and(gone(None), |shared| shared.claim = Claim::Nobody),
            "Orphaned",
        ),
        (
            "its revocation was decided",
            and(
                when(|s, i| {
                    s.claim = Claim::Nobody;
                    i.status.state = Some(IssuanceState::Revoking);
                }),
                |_| {},
            ),
            "revoke",
        ),
    ]);
}

#[test]
fn the_other_secret_takes_the_place_of_the_first() {
    let situation = and(due(), |_| {});
    let change = written(&situation);
    assert_eq!(change.keeper, Some(("shop".into(), "s".into())));
    assert_eq!(change.secret.as_deref(), Some("shop-tls"));
    assert_eq!(change.status.orphaned_since, None);
    assert!(change.told.is_some_and(|told| told.reason == "Adopted"));
    // What is left of the first is deleted by its own policy.
    let issuance = &situation.issuance;
    let left = Share {
        secret: issuance.secret.clone(),
        certificate: "www".into(),
        uid: "c".into(),
        since: issuance.since,
        policy: DeletionPolicy::Revoke,
        orphaned_since: Some(at("2026-01-31T00:00:00Z")),
    };
    assert_eq!(change.also_in, Some(vec![left]));

    // What lives on, with another certificate or in another Secret, leaves nothing.
    for claim in [keeps(|_| {}), Claim::Elsewhere] {
        let situation = and(
            when(|s, _| {
                s.stored = Stored::Other;
                s.claim = claim;
            }),
            |_| {},
        );
        let change = written(&situation);
        assert_eq!(change.also_in, Some(vec![]));
        assert_eq!(change.told, None);
    }
}

#[test]
fn the_list_follows_who_keeps_what() {
    type Change = fn(&mut Shared);
    let now = at("2026-02-01T00:00:00Z");
    let table: [(&str, Change, Option<Share>); 6] = [
        (
            "another policy",
            |shared| {
                shared.claim = keeps_shop(|keeper| keeper.policy = Some(DeletionPolicy::Retain));
            },
            Some(Share {
                policy: DeletionPolicy::Retain,
                ..share()
            }),
        ),
        (
            "made anew",
            |shared| shared.claim = keeps_shop(|keeper| keeper.uid = "anew".into()),
            Some(Share {
                uid: "anew".into(),
                since: now,
                ..share()
            }),
        ),
        (
            "gone",
            |shared| {
                shared.claim = Claim::Nobody;
                shared.last_policy = Some(DeletionPolicy::Delete);
            },
            Some(Share {
                policy: DeletionPolicy::Delete,
                orphaned_since: Some(now),
                ..share()
            }),
        ),
        (
            "gone with its Secret",
            |shared| {
                shared.claim = Claim::Nobody;
                shared.stored = Stored::Gone;
            },
            None,
        ),
        (
            "it has another",
            |shared| shared.stored = Stored::Other,
            None,
        ),
        (
            "it names another",
            |shared| shared.claim = Claim::Elsewhere,
            None,
        ),
    ];
    for (name, change, want) in table {
        let situation = and(kept(), change);
        let written = written(&situation);
        assert_eq!(written.also_in, Some(want.into_iter().collect()), "{name}");
        assert_eq!(written.status, situation.issuance.status, "{name}");
    }
}

fn keeps_shop(change: impl FnOnce(&mut Keeper)) -> Claim {
    let Claim::Kept(mut shop) = shop() else {
        return Claim::Nobody;
    };
    change(&mut shop);
    Claim::Kept(shop)
}

/// The second Certificate is gone since so long.
fn left(since: &'static str) -> impl FnOnce(&mut Shared) {
    move |shared| {
        shared.claim = Claim::Nobody;
        shared.share.orphaned_since = Some(at(since));
    }
}

#[test]
fn what_is_left_over_is_deleted_after_the_delay() {
    const LATELY: &str = "2026-01-31T23:30:00Z";
    const LONG_AGO: &str = "2026-01-31T22:00:00Z";
    let asked = |change: fn(&mut Live)| {
        let mut live = confirmed();
        change(&mut live);
        let mut situation = and(kept(), left(LONG_AGO));
        situation.live_share = Some((share().secret, live));
        situation
    };
    let but = |mut situation: Situation, change: fn(&mut Situation, &mut IssuanceFacts)| {
        let mut issuance = (*situation.issuance).clone();
        change(&mut situation, &mut issuance);
        situation.issuance = issuance.into();
        situation
    };
    assert_all(vec![
        ("lately", and(kept(), left(LATELY)), "nothing"),
        ("long ago", and(kept(), left(LONG_AGO)), "ask about"),
        ("confirmed", asked(|_| {}), "delete secret"),
        (
            "kept after all",
            asked(|live| live.is_kept = true),
            "nothing",
        ),
        (
            "with the definition",
            asked(|live| live.definition = Definition::Ending),
            "nothing",
        ),
        (
            "with the definition, which is back",
            asked(|live| live.definition = Definition::Since(at(LONG_AGO))),
            "nothing",
        ),
        (
            "still used",
            asked(|live| live.used_by.push("Ingress".into())),
            "nothing",
        ),
        (
            "something else",
            asked(|live| live.stored = Stored::Other),
            "nothing",
        ),
        (
            "the brake",
            but(asked(|_| {}), |s, _| s.brake = true),
            "nothing",
        ),
        (
            "asked about another",
            but(asked(|_| {}), |s, _| {
                s.live_share = Some((ObjectKey::new("web", "other"), confirmed()));
            }),
            "ask about",
        ),
        (
            "also once it is revoked",
            but(asked(|_| {}), |_, i| {
                i.status.state = Some(IssuanceState::Revoked);
            }),
            "delete secret",
        ),
        (
            "not where it is to stay",
            and(kept(), |shared| {
                left(LONG_AGO)(shared);
                shared.share.policy = DeletionPolicy::Retain;
            }),
            "nothing",
        ),
    ]);
    let Step::DeleteSecret(secret) = plan(&asked(|_| {})) else {
        panic!("not deleted");
    };
    assert_eq!(secret, share().secret);
    let wait = plan(&and(kept(), left(LATELY)));
    let half_an_hour = std::time::Duration::from_secs(1800);
    assert_eq!(wait, Step::Nothing(Next::After(half_an_hour)));
}

#[test]
fn whoever_shares_it_may_have_it_revoked() {
    let asks = |text: &'static str| {
        move |shared: &mut Shared| {
            shared.claim = keeps_shop(|keeper| keeper.annotation = Some(text.into()));
        }
    };
    let change = written(&and(kept(), asks("superseded")));
    assert_eq!(change.status.state, Some(IssuanceState::Active));
    let request = change.status.request.unwrap();
    assert_eq!(
        request.by,
        "annotation certwright.io/revoke on Certificate web/shop"
    );
    // Each gets another first, but for a key that others have.
    let requested = |reason| {
        let status = IssuanceStatus {
            request: Some(Request {
                by: "somebody".into(),
                reason,
                time: time("2026-01-31T00:00:00Z"),
            }),
            state: Some(IssuanceState::Active),
            ..IssuanceStatus::default()
        };
        move |s: &mut Situation, i: &mut IssuanceFacts| {
            i.status = status;
            s.stored = Stored::Other;
        }
    };
    let first_has_another = when(requested(RevocationReason::Superseded));
    assert_eq!(word(&plan(&first_has_another)), "Revoking");
    assert_eq!(word(&plan(&and(first_has_another, |_| {}))), "Active");
    let urgent = written(&and(kept(), asks("keyCompromise")));
    assert_eq!(urgent.status.state, Some(IssuanceState::Revoking));
    let other = plan(&and(kept(), asks("superseded,serial=123")));
    assert_eq!(word(&other), "nothing");
    assert_eq!(keeper().annotation, None);
}

#[test]
fn a_secret_that_lost_its_certificate_under_another_program_stays() {
    let unattended = |mut situation: Situation| {
        situation.is_unattended = true;
        situation
    };
    let lost = |shared: &mut Shared| {
        shared.claim = Claim::Nobody;
        shared.is_unattended = true;
    };
    let shares = written(&and(kept(), lost)).also_in.unwrap();
    assert_eq!(shares[0].policy, DeletionPolicy::Retain);
    let seen = |shared: &mut Shared| shared.claim = Claim::Nobody;
    let shares = written(&and(kept(), seen)).also_in.unwrap();
    assert_ne!(shares[0].policy, DeletionPolicy::Retain);
    // One of them is gone: the other takes its place, and its own Secret stays too.
    let change = written(&unattended(and(gone(None), |_| {})));
    assert_eq!(word(&Step::Write(Box::new(change.clone()))), "Active");
    assert_eq!(change.status.unattended_since, None);
    assert_eq!(change.also_in.unwrap()[0].policy, DeletionPolicy::Retain);
    let change = written(&unattended(and(gone(None), lost)));
    assert!(change.status.unattended_since.is_some(), "both are gone");
}
