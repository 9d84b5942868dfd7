//! Do the chains find what is wrong, in the words that people search for?

use jiff::SignedDuration;
use k8s_openapi::ByteString;

use super::*;
use crate::{
    api::{
        certificate::{Renewal, RenewalPolicy, Subject},
        names::secret_key,
        private_key::PrivateKeyAlgorithm,
        usage::KeyUsage,
    },
    certificate::stories::{World, spec},
};

type Change = fn(&mut World);

fn put(world: &mut World, key: &str, value: &[u8]) {
    let secret = world.secrets.get_mut("web-tls").unwrap();
    let data = secret.data.as_mut().unwrap();
    data.insert(key.to_owned(), ByteString(value.to_vec()));
}

fn annotate(world: &mut World, key: &str, value: &str) {
    let secret = world.secrets.get_mut("web-tls").unwrap();
    let annotations = secret.metadata.annotations.as_mut().unwrap();
    annotations.insert(key.to_owned(), value.to_owned());
}

/// What the chains say of a world that was all right before `change`.
fn check(change: Change) -> [Option<(&'static str, String)>; 3] {
    let mut world = World::issued(spec());
    change(&mut world);
    let situation = world.situation();
    let current = situation.requests.first();
    let view = View {
        certificate: &situation.certificate,
        secret: situation.secret.as_deref(),
        current: current.map(AsRef::as_ref),
        withdrawal: &situation.withdrawal,
        now: world.now,
    };
    [trigger(view), readiness(view), temporary(view)]
        .map(|found| found.map(|violation| (violation.reason, violation.message)))
}

#[test]
fn violations_of_every_chain() {
    // (what happened, reason and message, whether a temporary certificate would help)
    let table: [(Change, &str, &str, bool); 17] = [
        (
            |world| world.secrets.clear(),
            "DoesNotExist",
            "Issuing certificate as Secret does not exist",
            true,
        ),
        (
            |world| world.secrets.get_mut("web-tls").unwrap().data = None,
            "MissingData",
            "Issuing certificate as Secret does not contain any data",
            true,
        ),
        (
            |world| put(world, secret_key::PRIVATE_KEY, b""),
            "MissingData",
            "Issuing certificate as Secret does not contain a private key",
            true,
        ),
        (
            |world| put(world, secret_key::CERTIFICATE, b""),
            "MissingData",
            "Issuing certificate as Secret does not contain a certificate",
            true,
        ),
        (
            |world| put(world, secret_key::PRIVATE_KEY, b"x"),
            "InvalidKeyPair",
            "Issuing certificate as Secret contains invalid private key data: cannot parse the \
             private key: it is not PEM",
            true,
        ),
        (
            |world| put(world, secret_key::CERTIFICATE, b"x"),
            "InvalidCertificate",
            "Issuing certificate as Secret contains an invalid certificate: cannot parse the \
             certificate: it is not PEM with a CERTIFICATE",
            true,
        ),
        (
            |world| {
                let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
                put(world, secret_key::PRIVATE_KEY, key.as_bytes());
            },
            "InvalidKeyPair",
            "Issuing certificate as Secret contains a private key that does not match the \
             certificate",
            true,
        ),
        (
            |world| world.spec().issuer_ref.name = "other".into(),
            "IncorrectIssuer",
            "Issuing certificate as Secret was previously issued by \
             \"Issuer.cert-manager.io/ca\"",
            false,
        ),
        (
            |world| world.spec().issuer_ref.kind = Some("ClusterIssuer".into()),
            "IncorrectIssuer",
            "Issuing certificate as Secret was previously issued by \
             \"Issuer.cert-manager.io/ca\"",
            false,
        ),
        (
            |world| annotate(world, annotation::ISSUER_GROUP, "example.com"),
            "IncorrectIssuer",
            "Issuing certificate as Secret was previously issued by \"Issuer.example.com/ca\"",
            false,
        ),
        (
            |world| annotate(world, annotation::CERTIFICATE_NAME, "other"),
            "IncorrectCertificate",
            "Secret was issued for \"other\". If this message is not transient, you might have \
             two conflicting Certificates pointing to the same secret.",
            false,
        ),
        (
            |world| {
                world.spec().private_key.as_mut().unwrap().size = Some(384);
            },
            "SecretMismatch",
            "Existing private key is not up to date for spec: [spec.privateKey.size]",
            false,
        ),
        (
            |world| {
                let key = &mut world.spec().private_key;
                key.as_mut().unwrap().algorithm = Some(PrivateKeyAlgorithm::Ed25519);
            },
            "SecretMismatch",
            "Existing private key is not up to date for spec: [spec.privateKey.algorithm]",
            false,
        ),
        (
            |world| {
                world
                    .requests
                    .get_mut("web-1")
                    .unwrap()
                    .spec
                    .request
                    .0
                    .clear();
            },
            "InvalidCertificateRequest",
            "Failed to decode current CertificateRequest: cannot parse the certificate \
             request: it is not PEM with a CERTIFICATE REQUEST",
            false,
        ),
        (
            |world| {
                let other = World::issued(spec());
                let csr = other.requests["web-1"].spec.request.clone();
                world.requests.get_mut("web-1").unwrap().spec.request = csr;
            },
            "SecretMismatch",
            "Secret contains a private key that does not match the current CertificateRequest",
            false,
        ),
        (
            |world| {
                world.spec().usages = Some(vec![KeyUsage::ServerAuth]);
                world.spec().subject = Some(Subject {
                    organizations: Some(vec!["Us".into()]),
                    ..Subject::default()
                });
            },
            "RequestChanged",
            "Fields on existing CertificateRequest resource not up to date: \
             [spec.subject.organizations spec.usages]",
            false,
        ),
        (
            |world| {
                world.requests.clear();
                world.spec().dns_names = Some(vec!["new.example.com".into()]);
                world.spec().uris = Some(vec!["spiffe://a/b".into()]);
            },
            "SecretMismatch",
            "Issuing certificate as Existing issued Secret is not up to date for spec: \
             [spec.dnsNames spec.uris]",
            false,
        ),
    ];
    for (change, reason, message, help) in table {
        let want = Some((reason, message.to_owned()));
        let temporary = want.clone().filter(|_| help);
        assert_eq!(check(change), [want.clone(), want, temporary]);
    }
}

#[test]
fn renewal_triggers_and_expiry_is_not_ready() {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let renewing = "Renewing certificate as renewal was scheduled at 2026-03-02 00:00:00 +0000 \
                    UTC";
    let table = [
        (days(59), None, None, false),
        (days(60) - SignedDuration::from_secs(1), None, None, false),
        (days(60), Some(("Renewing", renewing)), None, false),
        (days(90), Some(("Renewing", renewing)), None, false),
        (
            days(91),
            Some(("Renewing", renewing)),
            Some((
                "Expired",
                "Certificate expired on Wed, 01 Apr 2026 00:00:00 UTC",
            )),
            false,
        ),
        (
            days(91),
            None,
            Some((
                "Expired",
                "Certificate expired on Wed, 01 Apr 2026 00:00:00 UTC",
            )),
            true,
        ),
    ];
    for (age, triggers, unready, disabled) in table {
        let mut world = World::issued(spec());
        world.pass(age);
        world.spec().renewal = disabled.then_some(Renewal {
            policy: Some(RenewalPolicy::Disabled),
            windows: None,
        });
        let situation = world.situation();
        let view = View {
            certificate: &situation.certificate,
            secret: situation.secret.as_deref(),
            current: situation.requests.first().map(AsRef::as_ref),
            withdrawal: &situation.withdrawal,
            now: world.now,
        };
        let said = |found: Option<Violation>| found.map(|found| (found.reason, found.message));
        let want = |want: Option<(&'static str, &str)>| want.map(|(r, m)| (r, m.to_owned()));
        assert_eq!(said(trigger(view)), want(triggers), "{age}");
        assert_eq!(said(readiness(view)), want(unready), "{age}");
    }
}

#[test]
fn what_is_written_in_another_way_is_no_violation() {
    let table: [Change; 8] = [
        |_| {},
        |world| world.spec().issuer_ref.kind = Some("Issuer".into()),
        |world| world.spec().issuer_ref.group = Some("cert-manager.io".into()),
        |world| world.spec().ip_addresses = Some(Vec::new()),
        |world| world.spec().dns_names = Some(vec!["www.example.com".into(); 2]),
        // Not compared where only one side says it.
        |world| world.spec().duration = Some("24h".into()),
        |world| world.spec().encode_usages_in_request = Some(false),
        // Where the request is gone, a common name may have become a DNS name.
        |world| {
            world.requests.clear();
            world.spec().common_name = Some("www.example.com".into());
        },
    ];
    for (number, change) in table.into_iter().enumerate() {
        assert_eq!(check(change), [None, None, None], "change {number}");
    }
    // A Secret without annotations of its issuer fits any name, but only the default kind.
    let unannotated: Change = |world| {
        let secret = world.secrets.get_mut("web-tls").unwrap();
        let annotations = secret.metadata.annotations.as_mut().unwrap();
        annotations.retain(|key, _| !key.starts_with("cert-manager.io/issuer-"));
    };
    assert_eq!(check(unannotated), [None, None, None]);
}

#[test]
fn a_withdrawn_certificate_is_replaced() {
    let mut world = World::issued(spec());
    for is_revoked in [false, true] {
        world.withdrawal = Withdrawal {
            why: Some("certificate 1 is to be revoked".to_owned()),
            is_revoked,
            compromised: Vec::new(),
        };
        let situation = world.situation();
        let view = View {
            certificate: &situation.certificate,
            secret: situation.secret.as_deref(),
            current: situation.requests.first().map(AsRef::as_ref),
            withdrawal: &situation.withdrawal,
            now: world.now,
        };
        let found = trigger(view).unwrap();
        assert_eq!(found.reason, "Revoked");
        assert_eq!(
            found.message,
            "Issuing certificate as certificate 1 is to be revoked"
        );
        // Until it is revoked it serves as before.
        assert_eq!(readiness(view), is_revoked.then_some(found));
    }
}
