//! Is a certificate that is there already used where another would be ordered, and only there?

use std::sync::Arc;

use jiff::SignedDuration;

use super::{World, assert_done, spec, world::Stock};
use crate::{
    api::{
        certificate::{CertificateSpec, PrivateKeyAlgorithm, PrivateKeyEncoding},
        condition::{self, Condition, kind},
        issuance::{IssuanceState, Request},
        names::{annotation, secret_key},
    },
    certificate::{
        action::Event,
        facts::{CertificateFacts, Reused},
        reuse::{Candidate, Reuse, is_wanted, was_deleted},
        secret::SecretFacts,
    },
    cluster::{Facts, ObjectKey},
    request::{facts::RequestFacts, plan},
    retire::{facts::IssuanceFacts, samples, share::Share},
};

const REUSED: [&str; 7] = [
    "inspect",
    "claim",
    "hold key",
    "create request",
    "answer request",
    "apply secret",
    "patch status",
];
const TWO_MONTHS: SignedDuration = SignedDuration::from_hours(24 * 61);

impl World {
    pub(super) fn reuse(&self, certificate: &CertificateFacts) -> Reuse {
        let wanted = is_wanted(certificate) && !self.waits;
        let Some(stock) = self.stock.as_ref().filter(|_| wanted) else {
            return Reuse::None;
        };
        if !stock.candidate.is_good_for(certificate, self.now) {
            return Reuse::None;
        }
        let candidate = Arc::new(stock.candidate.clone());
        match (stock.is_read, &stock.held) {
            (false, _) => Reuse::Look(candidate),
            (true, Some(_)) => Reuse::Found(candidate),
            (true, None) => Reuse::None,
        }
    }

    pub(super) fn claim(&mut self, facts: &CertificateFacts, issuance: &IssuanceFacts) {
        let mut claimed = issuance.clone();
        assert!(!claimed.is_claimed_by(facts), "it is");
        claimed.also_in.push(Share {
            secret: facts.secret(),
            certificate: facts.meta.key.name.clone(),
            uid: facts.meta.uid.clone(),
            since: self.now,
            policy: claimed.policy,
            orphaned_since: None,
        });
        self.stock.as_mut().unwrap().candidate.issuance = claimed.into();
    }

    pub(super) fn hand_over(&mut self, request: &str, reused: &Reused) {
        let object = self.requests.get_mut(request).unwrap();
        let handed = plan::Handed {
            chain_pem: &reused.chain_pem,
            ca_pem: reused.ca_pem.as_deref(),
            message: "used again".into(),
        };
        let facts = RequestFacts::reduce(object.clone());
        assert!(facts.is_reuse());
        let status = plan::handed_over(&facts, handed, self.now).status;
        object.status = Some(status.unwrap());
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
    }

    fn annotate(&mut self, key: &str, value: &str) {
        let annotations = self
            .certificate
            .metadata
            .annotations
            .get_or_insert_default();
        annotations.insert(key.into(), value.into());
    }
}

/// What the Certificate `other` was issued for `spec`, in the Secret `other-tls`.
fn stock(spec: CertificateSpec) -> Stock {
    let world = World::issued(spec);
    let mut secret = world.secrets["web-tls"].clone();
    secret.metadata.name = Some("other-tls".into());
    let annotations = secret.metadata.annotations.as_mut().unwrap();
    annotations.insert(annotation::CERTIFICATE_NAME.into(), "other".into());
    let secret = SecretFacts::reduce(secret);
    let leaf = secret.leaf.read().unwrap();
    let key = ObjectKey::new("certwright", "other-0123");
    let mut issuance = samples::issuance();
    issuance.meta.key = key.clone();
    issuance.certificate = ObjectKey::new(secret.meta.key.namespace.clone(), "other");
    issuance.secret = secret.meta.key.clone();
    issuance.serial.clone_from(&leaf.serial);
    issuance.public_key = leaf.public_key.to_string();
    issuance.not_after = leaf.not_after;
    let reused = Reused {
        issuance: key,
        secret: secret.meta.key.clone(),
        serial: leaf.serial.clone(),
        chain_pem: world.entry("web-tls", secret_key::CERTIFICATE).to_vec(),
        ca_pem: None,
    };
    Stock {
        candidate: Candidate {
            issuance: issuance.into(),
            secret: secret.into(),
            suggestion: None,
        },
        held: Some((reused.into(), world.key("web-tls"))),
        is_read: false,
    }
}

fn with_stock(mut world: World, stock: Stock) -> World {
    world.stock = Some(stock);
    world
}

fn serial(world: &World) -> String {
    let secret = world.target().unwrap();
    secret.leaf.read().unwrap().serial.clone()
}

fn is_reused(world: &World) -> bool {
    serial(world) == world.stock.as_ref().unwrap().candidate.issuance.serial
}

#[test]
fn it_is_used_instead_of_ordering() {
    let mut spec = spec();
    let stock = stock(spec.clone());
    // How the key is written is the Secret's own.
    spec.private_key.as_mut().unwrap().encoding = Some(PrivateKeyEncoding::Pkcs8);
    let mut world = with_stock(World::new(spec), stock);
    world.settle();
    assert_eq!(world.writes, REUSED);
    assert_done(&world, 1);
    assert!(is_reused(&world));
    assert_eq!(
        world.events,
        [Event::normal("CertificateReused", "used again")]
    );
    let secret = world.target().unwrap();
    assert_eq!(secret.annotation(annotation::CERTIFICATE_NAME), Some("web"));
    let key = world.entry("web-tls", secret_key::PRIVATE_KEY);
    assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"));
    let request = world.requests["web-1"].metadata.annotations.as_ref();
    assert_eq!(request.unwrap()[annotation::REUSED_ISSUANCE], "other-0123");

    // When it is due, another is ordered: for each its own.
    world.pass(TWO_MONTHS);
    world.settle();
    let request = world.requests["web-2"].metadata.annotations.as_ref();
    assert!(!request.unwrap().contains_key(annotation::REUSED_ISSUANCE));
    world.sign("web-2");
    world.settle();
    assert_done(&world, 2);
    assert!(!is_reused(&world));
}

#[test]
fn a_crash_after_any_write_changes_nothing() {
    for lags in [false, true] {
        for cut in 1..=5 {
            let mut world = with_stock(World::new(spec()), stock(spec()));
            world.lags = lags;
            world.settle_until(cut);
            world.settle();
            let place = format!("cut {cut}, lags: {lags}: {:?}", world.writes);
            assert!(is_reused(&world), "{place}");
            assert!(!world.writes.contains(&"create key"), "{place}");
            assert_done(&world, 1);
            let claims = &world.stock.unwrap().candidate.issuance.also_in;
            assert_eq!(claims.len(), 1, "{place}");
        }
    }
}

#[test]
fn what_is_gone_after_a_crash_is_ordered() {
    // Claimed; requested; answered. After that it is stored.
    for cut in 1..=3 {
        let mut world = with_stock(World::new(spec()), stock(spec()));
        let mut writes = 0;
        while writes < cut {
            world.step();
            let is_write = |write: &&&str| !matches!(**write, "inspect" | "hold key");
            writes = world.writes.iter().filter(is_write).count();
        }
        world.restart();
        world.stock.as_mut().unwrap().held = None;
        world.settle();
        let request = world.requests["web-1"].metadata.annotations.as_ref();
        assert!(!request.unwrap().contains_key(annotation::REUSED_ISSUANCE));
        world.sign("web-1");
        world.settle();
        assert_done(&world, 1);
        assert!(!is_reused(&world), "cut {cut}");
    }
}

#[test]
fn a_change_of_what_is_asked_for_may_lead_to_it() {
    let mut other = spec();
    other.dns_names = Some(vec!["shop.example.com".into()]);
    let mut world = with_stock(World::issued(spec()), stock(other.clone()));
    assert!(world.plan().actions.is_empty());
    world.spec().dns_names = other.dns_names;
    world.settle();
    assert_eq!(world.writes[..7], REUSED);
    assert_done(&world, 2);
    assert!(is_reused(&world));
}

#[test]
fn no_wait_after_a_failure_holds_it_up() {
    let mut world = World::new(spec());
    world.settle();
    world.say("web-1", kind::READY, false, "Failed", "no such name");
    world.settle();
    assert!(world.status().last_failure_time.is_some());
    let mut world = with_stock(world, stock(spec()));
    world.settle();
    assert_done(&world, 1);
    assert!(is_reused(&world));
}

#[test]
fn a_request_that_is_denied_is_not_asked_again_that_way() {
    let mut world = with_stock(World::new(spec()), stock(spec()));
    while !world.requests.contains_key("web-1") {
        world.step();
    }
    world.say("web-1", kind::DENIED, true, "no", "not this one");
    world.settle();
    // The denial counts as any other failure.
    assert!(world.status().last_failure_time.is_some());
    assert!(!world.writes.contains(&"create key"), "{:?}", world.writes);
    world.pass(SignedDuration::from_hours(1));
    world.settle();
    assert!(world.writes.contains(&"create key"), "{:?}", world.writes);
    let request = world.requests["web-1"].metadata.annotations.as_ref();
    assert!(!request.unwrap().contains_key(annotation::REUSED_ISSUANCE));
}

#[test]
fn who_wants_another_gets_another() {
    type Change = fn(&mut World);
    let table: [(&str, Change); 5] = [
        ("due", |world| world.pass(TWO_MONTHS)),
        ("by hand", |world| {
            let asked = Condition::new(kind::ISSUING, true, "ManuallyTriggered", "now", Some(1));
            let (now, status) = (world.now, world.certificate.status.get_or_insert_default());
            condition::set(status.conditions.get_or_insert_default(), asked, now);
        }),
        ("revoked", |world| {
            world.withdrawal.why = Some("it is Revoked".into());
            world.withdrawal.is_revoked = true;
        }),
        ("revoked, and something else is asked for", |world| {
            world.withdrawal.why = Some("it is Revoked".into());
            world.spec().usages = Some(vec![crate::api::usage::KeyUsage::ServerAuth]);
        }),
        ("the CA changed", |world| {
            world.turn = crate::issuer::rotation::Turn::Reissue;
        }),
    ];
    for (name, change) in table {
        let mut world = World::issued(spec());
        change(&mut world);
        // As good as it can be.
        let mut stock = stock(world.certificate.spec.clone());
        stock.candidate.secret = later(&stock, TWO_MONTHS);
        let mut world = with_stock(world, stock);
        world.settle();
        assert!(!world.writes.contains(&"inspect"), "{name}");
        assert!(world.requests.contains_key("web-2"), "{name}");
    }
    for (key, value) in [
        (annotation::REUSE, "false"),
        (annotation::REVOKE, "superseded"),
    ] {
        let mut world = with_stock(World::new(spec()), stock(spec()));
        world.annotate(key, value);
        world.settle();
        assert!(!world.writes.contains(&"inspect"), "{key}");
    }
}

/// The Secret of `stock`, with a certificate that is valid for so much longer.
fn later(stock: &Stock, time: SignedDuration) -> Arc<SecretFacts> {
    let mut secret = (*stock.candidate.secret).clone();
    let mut leaf = secret.leaf.read().unwrap().clone();
    leaf.not_after += time;
    leaf.not_before += time;
    secret.leaf = crate::certificate::secret::Entry::Read(leaf);
    secret.into()
}

#[test]
fn only_what_is_as_good_as_new_is_used() {
    type Change = fn(&mut IssuanceFacts, &mut SecretFacts, &mut World);
    let table: [(&str, Change, bool); 18] = [
        ("as it is", |_, _, _| {}, true),
        (
            "orphaned",
            |i, _, _| i.status.state = Some(IssuanceState::Orphaned),
            true,
        ),
        (
            "held",
            |i, _, _| i.status.state = Some(IssuanceState::Held),
            true,
        ),
        (
            "superseded, and still in a Secret",
            |i, _, _| i.status.state = Some(IssuanceState::Superseded),
            true,
        ),
        (
            "expired",
            |i, _, _| i.status.state = Some(IssuanceState::Expired),
            false,
        ),
        (
            "being revoked",
            |i, _, _| i.status.state = Some(IssuanceState::Revoking),
            false,
        ),
        (
            "to be revoked",
            |i, _, _| {
                i.status.request = Some(Request {
                    by: "somebody".into(),
                    reason: crate::api::deletion::RevocationReason::Superseded,
                    time: samples::time("2026-01-01T00:00:00Z"),
                });
            },
            false,
        ),
        (
            "another certificate",
            |i, _, _| i.serial = "1".into(),
            false,
        ),
        ("another type", |_, s, _| s.type_ = "Opaque".into(), false),
        ("going", |_, s, _| s.meta.deleting = true, false),
        (
            "somebody else's",
            |_, s, _| drop(s.annotations.remove(annotation::CERTIFICATE_NAME)),
            false,
        ),
        (
            "of another issuer",
            |_, s, _| {
                let issuer = annotation::ISSUER_NAME.to_owned();
                s.annotations.insert(issuer, "x".into());
            },
            false,
        ),
        (
            "elsewhere",
            |_, s, _| s.meta.key = ObjectKey::new("elsewhere", "other-tls"),
            false,
        ),
        (
            "without its key",
            |_, s, _| s.key = crate::certificate::secret::Entry::Missing,
            false,
        ),
        (
            "for another name",
            |_, _, world| world.spec().dns_names = Some(vec!["a.example".into()]),
            false,
        ),
        (
            "another kind of key",
            |_, _, world| {
                let key = world.spec().private_key.as_mut().unwrap();
                key.algorithm = Some(PrivateKeyAlgorithm::Rsa);
            },
            false,
        ),
        ("due", |_, _, world| world.pass(TWO_MONTHS), false),
        (
            "due by what is asked for",
            |_, _, world| {
                world.spec().renew_before = Some("2159h".into());
                world.pass(SignedDuration::from_hours(2));
            },
            false,
        ),
    ];
    for (name, change, want) in table {
        let mut world = World::new(spec());
        let stock = stock(spec());
        let mut issuance = (*stock.candidate.issuance).clone();
        let mut secret = (*stock.candidate.secret).clone();
        change(&mut issuance, &mut secret, &mut world);
        let candidate = Candidate {
            issuance: issuance.into(),
            secret: secret.into(),
            suggestion: None,
        };
        assert_eq!(
            candidate.is_good_for(&world.facts(), world.now),
            want,
            "{name}"
        );
    }
    let mut stock = stock(spec());
    let world = World::new(spec());
    for (until, want) in [(SignedDuration::ZERO, false), (TWO_MONTHS, true)] {
        stock.candidate.suggestion = Some(crate::certificate::suggestion::Suggestion {
            at: world.now.checked_add(until).unwrap(),
            is_urgent: true,
        });
        assert_eq!(stock.candidate.is_good_for(&world.facts(), world.now), want);
    }
}

#[test]
fn what_was_deleted_by_hand_is_not_wanted_back() {
    let world = World::issued(spec());
    let certificate = world.facts();
    let mut own = samples::issuance();
    own.secret = certificate.secret();
    own.uid.clone_from(&certificate.meta.uid);
    let records = |record: &IssuanceFacts| [Arc::new(record.clone())];
    assert!(was_deleted(&certificate, &records(&own)));
    // Never issued: a claim that a crash left.
    assert!(!was_deleted(&World::new(spec()).facts(), &records(&own)));
    // On its way from another Secret.
    let mut moving = own.clone();
    moving.also_in = vec![Share {
        secret: moving.secret.clone(),
        certificate: "web".into(),
        uid: moving.uid.clone(),
        since: moving.since,
        policy: moving.policy,
        orphaned_since: None,
    }];
    moving.secret = ObjectKey::new(certificate.meta.key.namespace.clone(), "former");
    assert!(!was_deleted(&certificate, &records(&moving)));
    let mut old = own;
    old.status.state = Some(IssuanceState::Superseded);
    assert!(!was_deleted(&certificate, &records(&old)));
    assert!(!was_deleted(&certificate, &[]));
}
