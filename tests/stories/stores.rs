//! Which key stores does cert-manager leave in a Secret? Made by its libraries, once, of a pair that
//! is valid for a hundred years.

use anyhow::Result;
use certwright::pki::key::PrivateKey;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    parts,
    predecessor::{Pair, Predecessor},
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../src/pki/keystore/fixtures/", $name)).as_slice()
    };
}

/// The Certificate `stores`, with both kinds of stores and their passwords in a Secret, and the
/// Certificate `legacy`, with the profile that is meant when none is named and the password inline.
pub(crate) async fn issued(place: &Predecessor) -> Result<Vec<(&'static str, Value)>> {
    let passwords = json!({
        "metadata": {"name": "passwords"},
        "stringData": {"jks": "changeit", "pkcs12": "pässwörd"},
    });
    place.create::<Secret>("kubectl-create", &passwords).await?;
    let password = |key: &str| json!({"name": "passwords", "key": key});
    let both = asked(
        "stores",
        json!({
            "jks": {"create": true, "alias": "Schlüssel", "passwordSecretRef": password("jks")},
            "pkcs12": {
                "create": true, "profile": "Modern2023", "passwordSecretRef": password("pkcs12"),
            },
        }),
    );
    let legacy = asked(
        "legacy",
        json!({"pkcs12": {"create": true, "password": "pässwörd"}, "jks": {
            "create": false, "password": "unused",
        }}),
    );
    let of_both = [
        ("keystore.jks", fixture!("go.jks")),
        ("truststore.jks", fixture!("go-trust.jks")),
        ("keystore.p12", fixture!("go-Modern2023.p12")),
        ("truststore.p12", fixture!("go-Modern2023-trust.p12")),
    ];
    let of_legacy = [
        ("keystore.p12", fixture!("go-LegacyRC2.p12")),
        ("truststore.p12", fixture!("go-LegacyRC2-trust.p12")),
    ];
    place
        .issued_as("stores", &both, &pair(&both)?, &of_both, false)
        .await?;
    place
        .issued_as("legacy", &legacy, &pair(&legacy)?, &of_legacy, false)
        .await?;
    Ok(vec![("stores", both), ("legacy", legacy)])
}

fn asked(secret: &str, keystores: Value) -> Value {
    json!({
        "secretName": secret, "commonName": "web.example.com", "dnsNames": ["web.example.com"],
        "privateKey": {"algorithm": "ECDSA"}, "issuerRef": {"name": "ca"}, "keystores": keystores,
    })
}

/// The pair that all of these stores hold.
fn pair(spec: &Value) -> Result<Pair> {
    let key = PrivateKey::from_pem(fixture!("tls.key"))?;
    let csr = parts::params(spec)?.serialize_request(&parts::pair(&key)?)?;
    Ok(Pair {
        csr: csr.pem()?,
        chain: String::from_utf8(fixture!("tls.crt").to_vec())?,
        ca: Some(String::from_utf8(fixture!("ca.crt").to_vec())?),
        key,
    })
}
