//! A Certificate and what was issued for it, for tests.

use serde_json::{Value, json};

use crate::api::{certificate::Certificate, issuance::Issuance};

pub(super) fn certificate() -> Certificate {
    read(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"namespace": "web", "name": "www"},
        "spec": {"secretName": "www-tls", "issuerRef": {"name": "ca"}},
        "status": {"revision": 1},
    }))
}

pub(super) fn record(serial: &str, state: &str) -> Issuance {
    read(json!({
        "apiVersion": "certwright.io/v1alpha1", "kind": "Issuance",
        "metadata": {"namespace": "certwright", "name": format!("www-{serial}")},
        "spec": {
            "certificate": "", "cluster": "here", "deletionPolicy": "Revoke",
            "certificateRef": {
                "name": "www", "namespace": "web", "since": "2026-01-01T00:00:00Z", "uid": "c",
            },
            "issuerRef": {"name": "ca"}, "names": ["www.example.com"],
            "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-04-01T00:00:00Z",
            "publicKey": "ff", "secretName": "www-tls", "serial": serial,
        },
        "status": {"state": state},
    }))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
