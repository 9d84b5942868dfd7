//! Does an issuance come to its end, whatever happens on the way?

use std::sync::Arc;

use jiff::SignedDuration;
use rcgen::{CertificateParams, KeyPair};

use super::{World, assert_done, spec};
use crate::{
    api::{
        certificate::RotationPolicy,
        condition::{ConditionStatus, kind},
        names::{annotation, secret_key},
        private_key::PrivateKeyAlgorithm,
    },
    certificate::{action::Event, key},
    cluster::Next,
    pki::key::{KeyAlgorithm, KeyParameters, PrivateKey},
    retire::{record::Recording, samples::record},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn reasons(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.reason).collect()
}

#[test]
fn an_issuance_takes_six_writes_and_one_event() {
    let mut world = World::new(spec());
    assert_eq!(world.settle(), 3);
    assert_eq!(
        world.writes,
        ["create key", "patch status", "create request"]
    );
    let status = world.status();
    let key = status.next_private_key_secret_name.unwrap();
    assert!(world.secrets.contains_key(&key));
    let missing = "Issuing certificate as Secret does not exist";
    for (type_, holds) in [
        (kind::ISSUING, ConditionStatus::True),
        (kind::READY, ConditionStatus::False),
    ] {
        let want = (holds, "DoesNotExist".to_owned(), missing.to_owned());
        assert_eq!(world.condition(type_), Some(want));
    }
    let annotations = world.requests["web-1"]
        .metadata
        .annotations
        .clone()
        .unwrap();
    assert_eq!(annotations[annotation::PRIVATE_KEY_SECRET_NAME], key);
    assert_eq!(annotations[annotation::CERTIFICATE_REVISION], "1");
    assert_eq!(annotations[annotation::CERTIFICATE_NAME], "web");

    world.writes.clear();
    world.sign("web-1");
    assert_eq!(world.settle(), 3);
    assert_eq!(world.writes, ["apply secret", "patch status", "delete key"]);
    assert_done(&world, 1);
    let done = "The certificate has been successfully issued";
    assert_eq!(world.events, [Event::normal("Issuing", done)]);
    assert_eq!(world.entry("web-tls", secret_key::CA), b"the CA");
}

#[test]
fn what_may_be_revoked_is_written_down_before_it_is_stored() {
    let issued = |recording| {
        let mut world = World::new(spec());
        world.settle();
        world.sign("web-1");
        world.recording = recording;
        world.writes.clear();
        world.settle();
        world
    };
    let world = issued(Recording::Missing(Arc::new(record())));
    assert_eq!(
        world.writes,
        ["record", "apply secret", "patch status", "delete key"]
    );
    let world = issued(Recording::Impossible("its issuer is gone".to_owned()));
    assert_eq!(world.writes, ["apply secret", "patch status", "delete key"]);
    let told = Event::warning("NotRecorded", "its issuer is gone");
    let count = world.events.iter().filter(|event| **event == told).count();
    assert_eq!(count, 1, "{:?}", world.events);
    assert_done(&world, 1);
}

/// A story, told up to where it waits for somebody else, again and again.
type Story = (&'static str, fn() -> World, &'static [fn(&mut World)], i64);

const STORIES: [Story; 6] = [
    (
        "first issuance",
        || World::new(spec()),
        &[|world| world.sign("web-1")],
        1,
    ),
    (
        "renewal",
        || {
            let mut world = World::issued(spec());
            world.pass(SignedDuration::from_hours(24 * 61));
            world
        },
        &[|world| world.sign("web-2")],
        2,
    ),
    (
        "the key is kept",
        || {
            let mut spec = spec();
            spec.private_key.as_mut().unwrap().rotation_policy = Some(RotationPolicy::Never);
            let mut world = World::issued(spec);
            world.pass(SignedDuration::from_hours(24 * 61));
            world
        },
        &[|world| world.sign("web-2")],
        2,
    ),
    (
        "failure, and another try",
        || World::new(spec()),
        &[
            |world| world.say("web-1", kind::READY, false, "Failed", "no DNS"),
            |world| world.pass(HOUR),
            |world| world.sign("web-1"),
        ],
        1,
    ),
    (
        "the spec changes on the way",
        || World::new(spec()),
        &[
            |world| world.spec().dns_names = Some(vec!["new.example.com".into()]),
            |world| world.sign("web-1"),
        ],
        1,
    ),
    (
        "another kind of key is asked for on the way",
        || World::new(spec()),
        &[
            |world| {
                world.spec().private_key.as_mut().unwrap().algorithm =
                    Some(PrivateKeyAlgorithm::Ed25519);
            },
            |world| world.sign("web-1"),
        ],
        1,
    ),
];

#[test]
fn every_crash_leads_to_the_same_end() {
    for (name, start, happenings, revision) in STORIES {
        let start = start();
        let mut writes = vec![];
        // With no crash at all, to know how many writes each part takes.
        let mut world = start.clone();
        for happening in happenings.iter().map(Some).chain([None]) {
            writes.push(world.settle());
            if let Some(happening) = happening {
                happening(&mut world);
            }
        }
        assert_done(&world, revision);

        for (part, count) in writes.iter().enumerate() {
            for cut in 1..=*count {
                let mut world = start.clone();
                for (number, happening) in happenings.iter().map(Some).chain([None]).enumerate() {
                    if number == part {
                        world.settle_until(cut);
                    } else {
                        world.settle();
                    }
                    if let Some(happening) = happening {
                        happening(&mut world);
                    }
                }
                assert_done(&world, revision);
                let successes = reasons(&world.events);
                let successes = successes.iter().filter(|one| **one == "Issuing").count();
                assert!(successes <= 1, "{name}: cut {cut} of part {part}");
            }
        }
    }
}

#[test]
fn a_kept_key_stays_and_a_new_one_comes_otherwise() {
    for (policy, stays) in [
        (None, false),
        (Some(RotationPolicy::Always), false),
        (Some(RotationPolicy::Never), true),
    ] {
        let mut spec = spec();
        spec.private_key.as_mut().unwrap().rotation_policy = policy;
        let mut world = World::issued(spec);
        let before = world.target().unwrap();
        world.pass(SignedDuration::from_hours(24 * 61));
        world.settle();
        let (issuing, reason, message) = world.condition(kind::ISSUING).unwrap();
        assert_eq!((issuing, &*reason), (ConditionStatus::True, "Renewing"));
        assert!(
            message.ends_with("scheduled at 2026-03-02 00:00:00 +0000 UTC"),
            "{message}"
        );
        // Meanwhile the certificate in use is good.
        let (ready, ..) = world.condition(kind::READY).unwrap();
        assert_eq!(ready, ConditionStatus::True);
        world.sign("web-2");
        world.settle();
        assert_done(&world, 2);
        let after = world.target().unwrap();
        assert_ne!(before.chain, after.chain);
        assert_eq!(before.key == after.key, stays, "{policy:?}");
        let told: &[&str] = match stays {
            true => &["Reused", "Issuing"],
            false => &["Issuing"],
        };
        assert_eq!(reasons(&world.events), told);
    }
}

#[test]
fn a_kept_key_that_does_not_fit_stops_it() {
    let mut spec = spec();
    spec.private_key.as_mut().unwrap().rotation_policy = Some(RotationPolicy::Never);
    let mut world = World::issued(spec);
    world.spec().private_key.as_mut().unwrap().size = Some(384);
    assert_eq!(world.settle(), 1);
    assert_eq!(reasons(&world.events), ["CannotRegenerateKey"]);
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!(
        (ready, &*reason),
        (ConditionStatus::False, "SecretMismatch")
    );
    assert!(message.starts_with("User intervention required: existing private key in Secret"));
    assert!(message.contains("mismatching fields: [spec.privateKey.size]"));
    assert_eq!(world.status().failed_issuance_attempts, None);

    world.spec().private_key.as_mut().unwrap().rotation_policy = None;
    world.settle();
    world.sign("web-2");
    world.settle();
    assert_done(&world, 2);
}

#[test]
fn failures_are_told_with_the_next_try() {
    let mut world = World::new(spec());
    world.settle();
    world.say(
        "web-1",
        kind::READY,
        false,
        "Failed",
        "Order failed: no DNS",
    );
    world.events.clear();
    world.settle();
    let said = "The certificate request has failed to complete and will be retried: Order failed: \
                no DNS";
    assert_eq!(world.events, [Event::warning("Failed", said)]);
    let told = format!("{said}; next try at 2026-01-01T01:00:00Z");
    let failed = ConditionStatus::False;
    let want = (failed, "Failed".to_owned(), told.clone());
    assert_eq!(world.condition(kind::ISSUING), Some(want));
    let want = (failed, "DoesNotExist".to_owned(), told);
    assert_eq!(world.condition(kind::READY), Some(want));
    assert_eq!(world.status().failed_issuance_attempts, Some(1));
    assert!(world.secrets.is_empty(), "the key is gone");
    assert_eq!(
        world.plan().next,
        Next::After(std::time::Duration::from_secs(3600))
    );

    // The second failure waits twice as long, and a change of the spec does not wait.
    world.pass(HOUR);
    world.settle();
    assert!(world.status().next_private_key_secret_name.is_some());
    world.pass(HOUR);
    world.say("web-1", kind::DENIED, true, "Policy", "not allowed");
    world.settle();
    assert_eq!(world.status().failed_issuance_attempts, Some(2));
    let (_, reason, message) = world.condition(kind::ISSUING).unwrap();
    assert_eq!(reason, "Policy");
    assert!(
        message.ends_with("not allowed; next try at 2026-01-01T04:00:00Z"),
        "{message}"
    );
    world.spec().dns_names = Some(vec!["other.example.com".into()]);
    world.settle();
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
}

#[test]
fn what_was_issued_badly_is_a_failure() {
    type Answer = fn(&mut World);
    let table: [(Answer, &str); 3] = [
        (
            |world| {
                let ends = world.now + SignedDuration::from_secs(60);
                world.sign_until("web-1", ends);
                world.pass(SignedDuration::from_mins(2));
            },
            "Issuer returned an already expired certificate (notAfter: 2026-01-01T00:01:05Z). This \
             usually indicates an expired CA certificate in the issuer.",
        ),
        (
            |world| {
                let params = CertificateParams::new(vec!["www.example.com".into()]).unwrap();
                let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
                world.answer("web-1", signed.pem());
            },
            "Issuer returned a certificate with a public key that does not match the CSR. This \
             usually indicates a misconfigured issuer.",
        ),
        (
            |world| world.answer("web-1", "garbage".into()),
            "Issuer returned an invalid certificate: failed to decode: ",
        ),
    ];
    for (answer, want) in table {
        let mut world = World::new(spec());
        world.settle();
        world.pass(SignedDuration::from_secs(5));
        answer(&mut world);
        world.settle();
        let (_, reason, message) = world.condition(kind::ISSUING).unwrap();
        assert_eq!(reason, "InvalidCertificate");
        assert!(message.contains(want), "{message}");
        assert!(world.target().is_none());
        // The next try asks anew.
        world.pass(HOUR);
        world.settle();
        assert!(world.requests["web-1"].status.is_none());
        world.sign("web-1");
        world.settle();
        assert_done(&world, 1);
    }
}

#[test]
fn what_it_waits_for_is_told_once_it_takes_long() {
    let mut world = World::new(spec());
    world.cause = Some("Waiting for HTTP-01 of www.example.com: answered 404".into());
    world.settle();
    assert_eq!(world.writes.len(), 3);
    assert_eq!(
        world.plan().next,
        Next::After(std::time::Duration::from_secs(2))
    );
    world.pass(SignedDuration::from_secs(2));
    assert_eq!(world.settle(), 1);
    for type_ in [kind::READY, kind::ISSUING] {
        let (_, reason, message) = world.condition(type_).unwrap();
        assert_eq!(reason, "DoesNotExist");
        assert_eq!(Some(message), world.cause);
    }
    world.cause = Some("Waiting for HTTP-01 of www.example.com: answered 503".into());
    assert_eq!(world.settle(), 1);
    // Nothing to say is no reason to take back what was said.
    world.cause = None;
    assert_eq!(world.settle(), 0);

    // Renewal: the certificate is good, so that it is told on the other condition alone.
    let mut world = World::issued(spec());
    world.pass(SignedDuration::from_hours(24 * 61));
    world.settle();
    world.pass(SignedDuration::from_secs(2));
    world.cause = Some("Waiting".into());
    world.settle();
    let (ready, ..) = world.condition(kind::READY).unwrap();
    assert_eq!(ready, ConditionStatus::True);
    let (issuing, reason, message) = world.condition(kind::ISSUING).unwrap();
    assert_eq!(
        (issuing, &*reason, &*message),
        (ConditionStatus::True, "Renewing", "Waiting")
    );
}

#[test]
fn a_temporary_certificate_stands_in() {
    let mut world = World::new(spec());
    let wanted = annotation::ISSUE_TEMPORARY_CERTIFICATE.to_owned();
    world.certificate.metadata.annotations = Some([(wanted, "true".to_owned())].into());
    world.settle();
    assert!(world.target().is_none(), "the issuer has not looked at it");
    world.say("web-1", kind::READY, false, "Pending", "at work");
    world.settle();
    assert_eq!(reasons(&world.events), ["Issuing"]);
    assert_eq!(world.events[0].message, "Issued temporary certificate");
    let secret = world.target().unwrap();
    assert!(secret.leaf.read().unwrap().is_temporary);
    assert_eq!(secret.annotation(annotation::CERTIFICATE_NAME), Some("web"));
    assert_eq!(secret.annotation(annotation::ISSUER_NAME), None);
    let (ready, ..) = world.condition(kind::READY).unwrap();
    assert_eq!(ready, ConditionStatus::False);
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
    assert!(!world.target().unwrap().leaf.read().unwrap().is_temporary);
}

#[test]
fn names_that_belong_to_others_are_never_adopted() {
    let mut world = World::new(spec());
    let ecdsa = KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap();
    let planted = PrivateKey::generate(ecdsa).unwrap();
    let name = key::next_name(&world.facts(), ecdsa);
    world.create_key(&name, &planted, Some(vec![]));
    assert_eq!(world.settle(), 1);
    let (_, _, message) = world.condition(kind::READY).unwrap();
    assert!(message.contains("is not ours"), "{message}");
    assert_eq!(world.secrets.len(), 1);
    world.secrets.clear();
    world.settle();
    assert_eq!(world.requests.len(), 1);

    let mut world = World::issued(spec());
    let mut foreign = world.requests["web-1"].clone();
    foreign.metadata.owner_references = None;
    foreign.metadata.name = Some("web-2".into());
    world.requests.insert("web-2".into(), foreign);
    world.pass(SignedDuration::from_hours(24 * 61));
    world.settle();
    let (_, _, message) = world.condition(kind::ISSUING).unwrap();
    assert!(
        message.contains("CertificateRequest \"web-2\" is not ours"),
        "{message}"
    );
}

#[test]
fn a_namesake_that_was_deleted_before_is_waited_for() {
    let mut world = World::new(spec());
    world.settle();
    // Deleted and made again: the garbage collector has not come to the request yet.
    world.certificate.metadata.uid = Some("uid-again".into());
    world.certificate.status = None;
    world.secrets.clear();
    world.settle();
    assert!(world.status().next_private_key_secret_name.is_some());
    let (_, _, message) = world.condition(kind::READY).unwrap();
    assert_eq!(message, "Issuing certificate as Secret does not exist");
    assert_eq!(
        world.plan().next,
        Next::After(std::time::Duration::from_secs(2))
    );
    world.requests.clear();
    world.settle();
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
}

#[test]
fn a_request_of_ours_that_is_misnamed_goes() {
    let mut world = World::new(spec());
    world.settle();
    let annotations = &mut world
        .requests
        .get_mut("web-1")
        .unwrap()
        .metadata
        .annotations;
    let revision = annotations.as_mut().unwrap();
    revision.insert(annotation::CERTIFICATE_REVISION.into(), "7".into());
    world.settle();
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
}

#[test]
fn keys_of_a_crash_or_of_cert_manager_are_taken_over() {
    let ecdsa = KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap();
    for issuing in [false, true] {
        let mut world = World::new(spec());
        if issuing {
            let condition = crate::api::condition::Condition::new(
                kind::ISSUING,
                true,
                "ManuallyTriggered",
                "by hand",
                Some(1),
            );
            world.certificate.status = Some(Default::default());
            let status = world.certificate.status.as_mut().unwrap();
            status.conditions = Some(vec![condition]);
        }
        let key = PrivateKey::generate(ecdsa).unwrap();
        world.create_key("web-x7k2p", &key, None);
        let other = KeyParameters::new(KeyAlgorithm::Ed25519, None).unwrap();
        let stale = PrivateKey::generate(other).unwrap();
        world.create_key("web-stale", &stale, None);
        world.settle();
        assert_eq!(
            world.status().next_private_key_secret_name.as_deref(),
            Some("web-x7k2p")
        );
        assert_eq!(world.secrets.len(), 1);
        world.sign("web-1");
        world.settle();
        assert_done(&world, 1);
        let stored = world.target().unwrap().key;
        assert_eq!(
            stored.read().unwrap().public_key,
            key.public_key_hash().unwrap()
        );
    }
}
