//! Does only the Secret of the Certificate that went go, and no copy?

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::*;
use crate::{
    api::names::field_manager,
    cluster::{Facts, ObjectKey},
    retire::samples::at,
};

fn words() -> LastWords {
    LastWords {
        certificate: ObjectKey::new("web", "www"),
        uid: "c".to_owned(),
        created: Some(at("2026-01-01T00:00:00Z")),
        secret: ObjectKey::new("web", "www-tls"),
        policy: None,
        issuer: IssuerRef {
            name: "itself".to_owned(),
            ..IssuerRef::default()
        },
        is_issued_here: true,
    }
}

fn secret() -> SecretFacts {
    let params = CertificateParams::new(vec!["www.example".to_owned()]).unwrap();
    let pem = params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem();
    let value = json!({
        "metadata": {
            "namespace": "web", "name": "www-tls", "uid": "s",
            "annotations": {
                annotation::CERTIFICATE_NAME: "www",
                annotation::ISSUER_NAME: "itself",
                annotation::ISSUER_KIND: "Issuer",
                annotation::ISSUER_GROUP: "cert-manager.io",
            },
            "managedFields": [{
                "manager": field_manager::ISSUING,
                "fieldsV1": {"f:data": {"f:tls.crt": {}, "f:tls.key": {}}},
            }],
        },
        "stringData": {},
    });
    let mut secret: Secret = serde_json::from_value(value).unwrap();
    let chain = k8s_openapi::ByteString(pem.into_bytes());
    secret.data = Some([(secret_key::CERTIFICATE.to_owned(), chain)].into());
    SecretFacts::reduce(secret)
}

fn departure() -> Departure {
    Departure {
        words: words(),
        policy: Some(DeletionPolicy::Revoke),
        is_recorded: false,
        is_account_known: true,
        is_kept: false,
        is_unattended: false,
        is_namespace_ending: false,
        remains: Some(Remains {
            is_kept: false,
            definition: Definition::Since(at("2025-01-01T00:00:00Z")),
            secret: Some(secret()),
            is_recorded: false,
        }),
    }
}

fn when(change: impl FnOnce(&mut Departure)) -> Verdict {
    let mut departure = departure();
    change(&mut departure);
    judge(&departure)
}

#[test]
fn what_went_while_another_program_led_stays() {
    let found = when(|departure| departure.is_unattended = true);
    assert_eq!(found, Verdict::Leave(Why::Unattended));
}

fn where_left(change: impl FnOnce(&mut Remains)) -> Verdict {
    when(|departure| change(departure.remains.as_mut().unwrap()))
}

fn holding(change: impl FnOnce(&mut SecretFacts)) -> Verdict {
    where_left(|remains| change(remains.secret.as_mut().unwrap()))
}

#[test]
fn what_is_beyond_doubt_is_recorded() {
    for policy in [DeletionPolicy::Revoke, DeletionPolicy::Delete] {
        let found = when(|departure| departure.policy = Some(policy));
        assert_eq!(found, Verdict::Record(policy));
    }
    assert_eq!(when(|departure| departure.remains = None), Verdict::Ask);
    let spelled_out = when(|departure| {
        departure.words.issuer.kind = Some("Issuer".to_owned());
        departure.words.issuer.group = Some("cert-manager.io".to_owned());
    });
    assert_eq!(spelled_out, Verdict::Record(DeletionPolicy::Revoke));
}

#[test]
fn nothing_is_asked_where_nothing_would_follow() {
    let unasked = |change: fn(&mut Departure)| {
        when(|departure| {
            departure.remains = None;
            change(departure);
        })
    };
    let retained = |d: &mut Departure| d.policy = Some(DeletionPolicy::Retain);
    let table = [
        (
            unasked(|d| d.words.is_issued_here = false),
            Why::NotIssuedHere,
        ),
        (unasked(|d| d.is_recorded = true), Why::Recorded),
        (unasked(retained), Why::Retain),
        (unasked(|d| d.policy = None), Why::PolicyUnknown),
        (unasked(|d| d.is_account_known = false), Why::NoAccount),
        (unasked(|d| d.is_kept = true), Why::Kept),
        (unasked(|d| d.is_namespace_ending = true), Why::GoesAnyway),
    ];
    for (found, why) in table {
        assert_eq!(found, Verdict::Leave(why), "{why}");
    }
}

#[test]
fn what_the_api_server_says_counts() {
    let since = |text| Definition::Since(at(text));
    let table = [
        (where_left(|r| r.is_kept = true), Why::Kept),
        (where_left(|r| r.is_recorded = true), Why::Recorded),
        (where_left(|r| r.secret = None), Why::NoSecret),
        (
            where_left(|r| r.definition = Definition::Ending),
            Why::Definition,
        ),
        (
            where_left(|r| r.definition = since("2026-01-02T00:00:00Z")),
            Why::Definition,
        ),
        (
            where_left(|r| r.definition = since("2026-01-01T00:00:00Z")),
            Why::Definition,
        ),
        (when(|d| d.words.created = None), Why::Definition),
        (holding(|s| s.meta.deleting = true), Why::GoesAnyway),
        (
            holding(|s| {
                s.owners.push(OwnerReference {
                    uid: "c".to_owned(),
                    ..OwnerReference::default()
                });
            }),
            Why::GoesAnyway,
        ),
    ];
    for (found, why) in table {
        assert_eq!(found, Verdict::Leave(why), "{why}");
    }
}

#[test]
fn a_copy_or_what_another_wrote_stays() {
    let annotated = |name: &str, value: Option<&str>| {
        holding(|secret| {
            match value {
                Some(value) => secret.annotations.insert(name.to_owned(), value.to_owned()),
                None => secret.annotations.remove(name),
            };
        })
    };
    let table = [
        annotated(annotation::CERTIFICATE_NAME, Some("another")),
        annotated(annotation::CERTIFICATE_NAME, None),
        annotated(annotation::ISSUER_NAME, Some("another")),
        annotated(annotation::ISSUER_NAME, None),
        annotated(annotation::ISSUER_KIND, Some("ClusterIssuer")),
        annotated(annotation::ISSUER_GROUP, Some("example.com")),
        holding(|secret| secret.managed = Ok(Default::default())),
        holding(|secret| secret.managed = Err("no object".to_owned())),
        holding(|secret| secret.leaf = crate::certificate::secret::Entry::Missing),
        holding(|secret| {
            if let crate::certificate::secret::Entry::Read(leaf) = &mut secret.leaf {
                leaf.is_temporary = true;
            }
        }),
        when(|departure| departure.words.secret = ObjectKey::new("web", "another")),
    ];
    for (number, found) in table.into_iter().enumerate() {
        assert_eq!(found, Verdict::Leave(Why::NotItsSecret), "{number}");
    }
}
