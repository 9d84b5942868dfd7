//! Which Certificates, issuers and failures does cert-manager leave behind?

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use certwright::{
    api::{certificate::Certificate, issuer::Issuer, order::Order, request::CertificateRequest},
    cluster::Clock,
    pki::key::KeyEncoding,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::{
    parts::{condition, issuer_is_ready, key, observed, owner},
    predecessor::Predecessor,
};

/// Certificates of every sort, with their names.
pub(crate) fn certificates() -> Vec<(&'static str, Value)> {
    const LONG: &str = "a-name-so-long-that-the-request-must-be-called-by-its-beginning-and-a-hash-\
        because-names-in-kubernetes-have-at-most-253-letters-and-the-number-of-the-revision-comes-\
        after-it-with-room-for-every-number-that-there-could-be-of-them.example";
    let rsa = json!({
        "secretName": "rsa-tls",
        "dnsNames": ["www.example.com", "*.example.com"],
        "ipAddresses": ["192.0.2.1", "2001:db8::1"],
        "uris": ["spiffe://cluster.local/ns/a"],
        "emailAddresses": ["a@example.com"],
        "issuerRef": {"name": "ca"},
    });
    let full = json!({
        "secretName": "full-tls",
        "commonName": "www.example.com",
        "dnsNames": ["www.example.com"],
        "subject": {
            "organizations": ["A, B"],
            "organizationalUnits": ["unit"],
            "countries": ["CH"],
            "provinces": ["ZH"],
            "localities": ["Zurich"],
            "streetAddresses": ["Street 1"],
            "postalCodes": ["8000"],
            "serialNumber": "42",
        },
        "duration": "240h",
        "renewBeforePercentage": 20,
        "usages": ["server auth", "client auth", "digital signature"],
        "privateKey": {"algorithm": "ECDSA", "encoding": "PKCS8", "rotationPolicy": "Never"},
        "additionalOutputFormats": [{"type": "DER"}, {"type": "CombinedPEM"}],
        "secretTemplate": {
            "labels": {"team": "a"}, "annotations": {"example.com/note": "b"},
        },
        "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
    });
    let mut literal = ecdsa("literal");
    literal["literalSubject"] = json!("CN=literal.example.com,OU=b,O=a,UID=u1");
    literal["renewBefore"] = json!("1h");
    literal["duration"] = json!("3h");
    let mut own = ecdsa("own");
    own["issuerRef"] = json!({"name": "self", "kind": "Issuer"});
    own["privateKey"] = json!({"size": 3072, "encoding": "PKCS1"});
    let mut disabled = ecdsa("disabled");
    disabled["renewal"] = json!({"policy": "Disabled"});
    disabled["privateKey"]["size"] = json!(384);
    let mut odd = ecdsa("odd");
    odd["privateKey"] = json!({"size": 2560, "rotationPolicy": "Never"});
    let mut by_acme = ecdsa("by-acme");
    by_acme["issuerRef"] = json!({"name": "acme", "kind": "Issuer"});
    vec![
        ("rsa", rsa),
        ("full", full),
        ("literal", literal),
        ("own", own),
        ("disabled", disabled),
        ("odd", odd),
        ("by-acme", by_acme),
        ("opaque", ecdsa("opaque")),
        ("forgotten", ecdsa("forgotten")),
        (LONG, ecdsa("long")),
    ]
}

pub(crate) fn ecdsa(secret: &str) -> Value {
    json!({
        "secretName": secret,
        "dnsNames": [format!("{secret}.example.com")],
        "privateKey": {"algorithm": "ECDSA"},
        "issuerRef": {"name": "ca"},
    })
}

/// An ACME issuer with an account, whose server nobody reaches.
pub(crate) async fn acme_issuer(place: &Predecessor) -> Result<()> {
    let key = key(&json!({}))?;
    let der = key.to_pkcs1_der().context("not RSA")??;
    let pem = key.to_pem(KeyEncoding::Pkcs1)?;
    let secret = json!({
        "metadata": {
            "name": "acme-account", "labels": {"app.kubernetes.io/managed-by": "cert-manager"},
        },
        "stringData": {"tls.key": *pem},
    });
    place
        .create::<Secret>("cert-manager-issuers", &secret)
        .await?;
    let issuer = json!({
        "metadata": {"name": "acme"},
        "spec": {"acme": {
            "server": "https://acme.invalid/directory", "email": "A@example.com",
            // Else the CA is asked when to renew, which cert-manager does not do by itself.
            "renewalInformationSource": "None",
            "privateKeySecretRef": {"name": "acme-account"},
            "solvers": [{"http01": {"ingress": {"ingressClassName": "nginx"}}}],
        }},
    });
    place.create::<Issuer>("kubectl-create", &issuer).await?;
    let hash = digest(&SHA256, &der);
    let message = "The ACME account was registered with the ACME server";
    let status = json!({
        "acme": {
            "uri": "https://acme.invalid/account/1", "lastRegisteredEmail": "A@example.com",
            "lastPrivateKeyHash": BASE64_STANDARD.encode(hash),
        },
        "conditions": [issuer_is_ready("ACMEAccountRegistered", Some(message))],
    });
    place.report::<Issuer>("issuers", "acme", status).await
}

/// The Order of a Certificate that was issued by ACME.
pub(crate) async fn valid_order(place: &Predecessor, certificate: &str) -> Result<()> {
    let requests: Api<CertificateRequest> = place.namespace.api();
    let request = requests.get(&format!("{certificate}-1")).await?;
    let spec = serde_json::to_value(&request.spec)?;
    let name = format!("{certificate}-1-1790212131");
    let uid = request.uid().context("no uid")?;
    let order = json!({
        "metadata": {
            "name": name, "annotations": request.annotations(), "labels": request.labels(),
            "ownerReferences":
                [owner("cert-manager.io/v1", "CertificateRequest", &request.name_any(), &uid)],
        },
        "spec": {
            "issuerRef": spec["issuerRef"], "request": spec["request"],
            "dnsNames": [format!("{certificate}.example.com")],
        },
    });
    place
        .create::<Order>("cert-manager-certificaterequests-issuer-acme", &order)
        .await?;
    let status = json!({
        "url": "https://acme.invalid/order/1", "finalizeURL": "https://acme.invalid/order/1/finalize",
        "state": "valid", "certificate": serde_json::to_value(&request.status)?["certificate"],
        "authorizations": [{
            "url": "https://acme.invalid/authorization/1", "wildcard": false,
            "identifier": format!("{certificate}.example.com"), "initialState": "pending",
            "challenges": [{
                "type": "http-01", "token": "t", "url": "https://acme.invalid/challenge/1",
            }],
        }],
    });
    place.report::<Order>("orders", &name, status).await
}

/// A Certificate whose third request in a row came to nothing ten minutes ago.
pub(crate) async fn failed(place: &Predecessor, name: &str, told: &str) -> Result<()> {
    let spec = ecdsa(name);
    let (_, _) = place.asked(name, &spec).await?;
    let pair = place.sign(&spec)?;
    place.request(name, 1, &spec, &pair.csr, "gone").await?;
    let request = format!("{name}-1");
    let message = "the CA is closed";
    let at = Clock::default()
        .now()
        .checked_sub(SignedDuration::from_mins(10))?;
    let at = Timestamp::from_second(at.as_second())?;
    let mut conditions = vec![condition("Ready", "False", "Failed", message)];
    let mut reason = "Failed";
    if name == "denied" {
        reason = "policy.example.com";
        conditions = vec![
            condition("Denied", "True", reason, message),
            condition(
                "Ready",
                "False",
                "Denied",
                "The CertificateRequest was denied by an approval controller",
            ),
        ];
    } else {
        conditions.push(place.approve(&request).await?);
    }
    let status = json!({"conditions": conditions, "failureTime": at});
    place
        .report::<CertificateRequest>("certificaterequests-issuer-ca", &request, status)
        .await?;
    let missing = "Issuing certificate as Secret does not exist";
    let status = json!({
        "lastFailureTime": at, "failedIssuanceAttempts": 3,
        "conditions": [
            observed("Issuing", "False", reason, &format!("{told}{message}")),
            observed("Ready", "False", "DoesNotExist", missing),
        ],
    });
    place
        .report::<Certificate>("certificates-issuing", name, status)
        .await
}
