//! Is what was issued kept as it should be, and left alone where it should be?

use jiff::SignedDuration;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use rcgen::KeyPair;

use super::{World, assert_done, spec, world::certificate};
use crate::{
    api::{
        certificate::SecretTemplate,
        condition::{ConditionStatus, kind},
        keystore::{Keystores, Pkcs12Keystore},
        names::{label, secret_key},
        private_key::{PrivateKeyAlgorithm, RotationPolicy},
    },
    certificate::{
        action::{Action, Content},
        keystores::Standing,
        policy::Violation,
    },
    cluster::{Next, events::EventType},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn the_secret_belongs_to_one_certificate() {
    let mut world = World::new(spec());
    let mut older = certificate("older", spec(), world.now);
    older.metadata.creation_timestamp.as_mut().unwrap().0 -= HOUR;
    world.rivals = vec![older];
    assert_eq!(world.settle(), 1);
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!(
        (ready, &*reason),
        (ConditionStatus::False, "IncorrectCertificate")
    );
    assert_eq!(
        message,
        "Secret \"web-tls\" belongs to Certificate \"older\"; name another Secret in \
         spec.secretName"
    );
    assert_eq!(
        world.plan().next,
        Next::After(std::time::Duration::from_secs(180))
    );

    // Who is named on the Secret has it, whoever is older.
    let mut world = World::issued(spec());
    let mut older = certificate("older", spec(), world.now);
    older.metadata.creation_timestamp.as_mut().unwrap().0 -= HOUR;
    world.rivals = vec![older];
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_certificate_being_deleted_is_left_alone() {
    let mut world = World::new(spec());
    world.settle();
    world.certificate.metadata.deletion_timestamp =
        world.certificate.metadata.creation_timestamp.clone();
    world.sign("web-1");
    world.secrets.clear();
    assert_eq!(world.settle(), 0);
}

#[test]
fn key_stores_wait_for_their_password() {
    let mut asked = spec();
    asked.keystores = Some(Keystores {
        pkcs12: Some(Pkcs12Keystore {
            create: true,
            ..Pkcs12Keystore::default()
        }),
        ..Keystores::default()
    });
    let mut world = World::issued(asked);
    let why = Violation::new("KeystorePasswordSecretNotFound", "no password");
    world.keystores = Standing::Blocked(why.clone());
    world.settle();
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!(ready, ConditionStatus::False);
    assert_eq!((&*reason, &*message), (why.reason, "no password"));
    let event = world.events.pop().unwrap();
    assert_eq!(event.kind, EventType::Warning);
    assert_eq!(
        (&*event.reason, &*event.message),
        (why.reason, "no password")
    );
    // The label that is lost would be written again, if the Secret could be.
    let secret = world.secrets.get_mut("web-tls").unwrap();
    secret.metadata.labels = None;
    assert_eq!(world.settle(), 0);
    assert_eq!(world.events.len(), 0, "said once");

    // What is there from before is still good.
    let secret = world.secrets.get_mut("web-tls").unwrap();
    for key in ["keystore.p12", "truststore.p12"] {
        let data = secret.data.as_mut().unwrap();
        data.insert(key.to_owned(), ByteString(b"x".to_vec()));
    }
    world.settle();
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!((ready, &*reason), (ConditionStatus::True, "Ready"));
    let want = "Certificate is up to date and has not expired; the next one cannot be stored: \
                no password";
    assert_eq!(message, want);

    world.writes.clear();
    world.keystores = Standing::Outdated(Violation::new("SecretMismatch", "another password"));
    world.settle();
    assert_eq!(world.writes, ["patch status", "apply secret"]);
    let message = world.condition(kind::READY).unwrap().2;
    assert_eq!(message, "Certificate is up to date and has not expired");
}

#[test]
fn the_secret_is_kept_as_it_should_be() {
    let mut world = World::issued(spec());
    world.spec().secret_template = Some(SecretTemplate {
        labels: Some([("team".to_owned(), "a".to_owned())].into()),
        annotations: Some([("note".to_owned(), "b".to_owned())].into()),
    });
    world.settle();
    assert_eq!(world.writes, ["patch status", "apply secret"]);
    let secret = world.target().unwrap();
    assert_eq!(secret.labels["team"], "a");
    assert_eq!(secret.annotation("note"), Some("b"));

    // Somebody else's entries stay, ours come back, and what the template no longer has goes.
    let standing = world.secrets.get_mut("web-tls").unwrap();
    standing
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("theirs".into(), "c".into());
    standing
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("team".into(), "wrong".into());
    world.spec().secret_template.as_mut().unwrap().annotations = None;
    world.settle();
    let secret = world.target().unwrap();
    assert_eq!(secret.labels["team"], "a");
    assert_eq!(secret.labels["theirs"], "c");
    assert_eq!(secret.annotation("note"), None);
    assert_done(&world, 1);
}

#[test]
fn a_write_that_does_not_help_is_not_repeated() {
    let mut world = World::issued(spec());
    world.spec().secret_template = Some(SecretTemplate::default());
    world.settle();
    world.spec().secret_template = Some(SecretTemplate {
        labels: Some([("team".to_owned(), "a".to_owned())].into()),
        annotations: None,
    });
    let plan = world.plan();
    assert!(matches!(
        plan.actions.as_slice(),
        [
            Action::PatchStatus(_),
            Action::ApplySecret(Content::Again(_))
        ]
    ));
    world.settle();
    // A webhook takes the label away on each write.
    let take = |world: &mut World| {
        let secret = world.secrets.get_mut("web-tls").unwrap();
        let labels = secret.metadata.labels.as_mut().unwrap();
        labels.insert(label::WATCHED_SECRET.into(), "no".into());
    };
    take(&mut world);
    let plan = world.plan();
    assert!(plan.actions.is_empty(), "{plan:?}");
    assert_eq!(plan.next, Next::After(std::time::Duration::from_secs(300)));
}

#[test]
fn old_requests_go() {
    for (limit, left) in [
        (None, vec!["web-3"]),
        (Some(2), vec!["web-2", "web-3"]),
        (Some(0), vec!["web-3"]),
    ] {
        let mut spec = spec();
        spec.revision_history_limit = limit;
        let mut world = World::issued(spec);
        for revision in 2..=3 {
            world.pass(SignedDuration::from_hours(24 * 61));
            world.settle();
            world.sign(&format!("web-{revision}"));
            world.settle();
        }
        assert_eq!(world.requests.keys().collect::<Vec<_>>(), left, "{limit:?}");
    }
}

#[test]
fn a_deleted_or_broken_secret_is_issued_again() {
    type Damage = fn(&mut World);
    let table: [(Damage, &str); 4] = [
        (
            |world| {
                world.secrets.clear();
            },
            "DoesNotExist",
        ),
        (
            |world| {
                let secret = world.secrets.get_mut("web-tls").unwrap();
                secret
                    .data
                    .as_mut()
                    .unwrap()
                    .remove(secret_key::PRIVATE_KEY);
            },
            "MissingData",
        ),
        (
            |world| {
                let secret = world.secrets.get_mut("web-tls").unwrap();
                let key = KeyPair::generate().unwrap().serialize_pem();
                secret
                    .data
                    .as_mut()
                    .unwrap()
                    .insert(secret_key::PRIVATE_KEY.into(), ByteString(key.into_bytes()));
            },
            "InvalidKeyPair",
        ),
        (
            |world| world.spec().issuer_ref.name = "other".into(),
            "IncorrectIssuer",
        ),
    ];
    for (damage, reason) in table {
        let mut world = World::issued(spec());
        damage(&mut world);
        world.settle();
        for type_ in [kind::ISSUING, kind::READY] {
            assert_eq!(world.condition(type_).unwrap().1, reason);
        }
        world.sign("web-2");
        world.settle();
        assert_done(&world, 2);
    }
}

#[test]
fn two_requests_of_one_revision_stop_it() {
    let mut world = World::issued(spec());
    let mut twin = world.requests["web-1"].clone();
    twin.metadata.name = Some("twin".into());
    twin.metadata.uid = Some("uid-twin".into());
    world.requests.insert("twin".into(), twin);
    assert_eq!(world.settle(), 1);
    let (_, _, message) = world.condition(kind::READY).unwrap();
    assert_eq!(
        message,
        "multiple CertificateRequests were found for the 'current' revision 1, issuance is skipped \
         until there are no more duplicates"
    );
    world.requests.remove("twin");
    world.settle();
    assert_done(&world, 1);
}

/// As cert-manager makes them, and users bring them along.
#[test]
fn a_key_of_an_odd_size_is_used_and_not_made_anew() {
    let mut spec = spec();
    let key = spec.private_key.get_or_insert_default();
    key.algorithm = Some(PrivateKeyAlgorithm::Rsa);
    key.size = Some(2560);
    let mut world = World::new(spec);
    assert_eq!(world.settle(), 1);
    let (_, _, message) = world.condition(kind::READY).unwrap();
    assert!(
        message.starts_with(
            "A new private key is needed, and RSA keys of 2560 bits cannot be generated: set \
             spec.privateKey.size to"
        ),
        "{message}"
    );

    let pem = include_bytes!("rsa2560.pem").to_vec();
    let data = [(secret_key::PRIVATE_KEY.to_owned(), ByteString(pem))];
    let secret = Secret {
        metadata: world.meta(ObjectMeta {
            name: Some("web-tls".into()),
            namespace: Some("web".into()),
            ..ObjectMeta::default()
        }),
        data: Some(data.into()),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    world.secrets.insert("web-tls".into(), secret);
    rotation(&mut world, RotationPolicy::Never);
    world.settle();
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);

    // With the key to be replaced it is good until then.
    world.pass(SignedDuration::from_hours(24 * 61));
    rotation(&mut world, RotationPolicy::Always);
    world.events.clear();
    world.settle();
    let (ready, ..) = world.condition(kind::READY).unwrap();
    assert_eq!(ready, ConditionStatus::True);
    let (issuing, reason, message) = world.condition(kind::ISSUING).unwrap();
    assert_eq!((issuing, &*reason), (ConditionStatus::True, "Renewing"));
    assert!(
        message.contains("2560 bits cannot be generated"),
        "{message}"
    );
    let [told] = world.events.as_slice() else {
        panic!("{:?}", world.events);
    };
    assert_eq!(
        (told.reason.as_ref(), &told.message),
        ("CannotRegenerateKey", &message)
    );
    rotation(&mut world, RotationPolicy::Never);
    world.settle();
    world.sign("web-2");
    world.settle();
    assert_done(&world, 2);
}

fn rotation(world: &mut World, policy: RotationPolicy) {
    let key = world.spec().private_key.get_or_insert_default();
    key.rotation_policy = Some(policy);
}
