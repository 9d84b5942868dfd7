//! Does a private CA, made in the cluster or brought along, sign what is asked of it?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        issuer::{ClusterIssuer, Issuer},
        request::CertificateRequest,
    },
    pki::{certificate::CertificateFacts, chain::certificates},
};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, events::v1::Event},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, process::wait::until, verify};

use crate::issuer::{status, told};

const SOON: Duration = Duration::from_secs(60);

/// A root that signs itself, an intermediate signed by it, and a server signed by that: the server
/// shows both of the chain, and knows the root.
pub(crate) async fn a_chain_is_made_in_the_cluster(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("private").await?;
    namespace
        .apply_all(&[
            issuer("Issuer", "itself", json!({"selfSigned": {}})),
            issuer("Issuer", "root", json!({"ca": {"secretName": "root"}})),
            issuer("Issuer", "middle", middle()),
            authority("root", "itself"),
            authority("middle", "root"),
            server("www", "middle", json!({})),
        ])
        .await?;
    for name in ["root", "middle", "www"] {
        namespace.ready(name, SOON).await?;
    }
    let root = data(&namespace, "root").await?;
    let middle = data(&namespace, "middle").await?;
    let www = data(&namespace, "www").await?;
    assert_eq!(root["ca.crt"], root["tls.crt"]);
    assert_eq!(middle["ca.crt"], root["tls.crt"]);
    assert_eq!(www["ca.crt"], root["tls.crt"]);
    assert_eq!(certificates(&www["tls.crt"].0)?.len(), 2);
    assert!(www["tls.crt"].0.ends_with(&middle["tls.crt"].0));
    let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
    verify::secret(&www, &roots, &["www.example".to_owned()])?;
    let leaf = CertificateFacts::from_pem(&www["tls.crt"].0)?;
    assert_eq!(leaf.issuer_common_name.as_deref(), Some("middle"));

    let issuers: Api<Issuer> = namespace.api();
    for (name, reason, message) in [
        ("itself", "IsReady", ""),
        ("root", "KeyPairVerified", "Signing CA verified"),
    ] {
        let (_, ready) = status(&issuers, name).await?;
        assert_eq!(ready.reason.as_deref(), Some(reason));
        assert_eq!(ready.message.as_deref().unwrap_or_default(), message);
    }
    // All of it was said in one write: the request was never seen pending.
    let requests: Api<CertificateRequest> = namespace.api();
    let request = requests.get("www-1").await?;
    let found = request.status.context("no status")?;
    assert_eq!(found.ca.context("no CA")?, www["ca.crt"]);
    assert_eq!(found.certificate.context("no certificate")?, www["tls.crt"]);

    // A CA that is renewed signs from then on; what it signed before stands.
    let secrets: Api<Secret> = namespace.api();
    secrets.delete("www", &DeleteParams::default()).await?;
    until("it is issued again", SOON, async || {
        let again = data(&namespace, "www").await?;
        ensure!(again["tls.crt"] != www["tls.crt"], "the same");
        verify::secret(&again, &roots, &["www.example".to_owned()])?;
        Ok(())
    })
    .await
}

/// What is wrong with a CA is told, and when it is put right all goes on by itself.
pub(crate) async fn a_ca_that_cannot_sign_is_told_and_put_right(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("no-ca").await?;
    let issuers: Api<Issuer> = namespace.api();
    namespace
        .apply_all(&[
            issuer("Issuer", "ca", json!({"ca": {"secretName": "ca"}})),
            server("www", "ca", json!({})),
        ])
        .await?;
    let missing = format!(
        "Error getting keypair for CA issuer: Secret \"ca\" not found in namespace {:?}",
        namespace.name()
    );
    told(&issuers, "ca", "ErrGetKeyPair", &missing).await?;
    namespace.says("www", &missing, SOON).await?;

    // No CA, then a CA with the key of another, then one that is good.
    namespace
        .apply_all(&[
            issuer("Issuer", "itself", json!({"selfSigned": {}})),
            server("leaf", "itself", json!({"commonName": "leaf"})),
            authority("good", "itself"),
        ])
        .await?;
    namespace.ready("leaf", SOON).await?;
    namespace.ready("good", SOON).await?;
    let leaf = data(&namespace, "leaf").await?;
    let good = data(&namespace, "good").await?;
    let ca = |chain: &ByteString, key: &ByteString| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"},
            "data": {"tls.crt": chain, "tls.key": key},
        })
    };
    namespace
        .apply_all(&[ca(&leaf["tls.crt"], &leaf["tls.key"])])
        .await?;
    told(
        &issuers,
        "ca",
        "ErrInvalidKeyPair",
        "certificate is not a CA",
    )
    .await?;
    namespace
        .apply_all(&[ca(&good["tls.crt"], &leaf["tls.key"])])
        .await?;
    let other = "the private key does not belong to the certificate";
    told(&issuers, "ca", "ErrInvalidKeyPair", other).await?;
    namespace.says("www", other, SOON).await?;
    let old = expired()?;
    namespace
        .apply_all(&[ca(&old["tls.crt"], &old["tls.key"])])
        .await?;
    let expired = "certificate expired at";
    told(&issuers, "ca", "ErrInvalidKeyPair", expired).await?;
    namespace.says("www", expired, SOON).await?;
    namespace
        .apply_all(&[ca(&good["tls.crt"], &good["tls.key"])])
        .await?;
    namespace.ready("www", SOON).await?;
    let roots = [String::from_utf8(good["tls.crt"].0.clone())?];
    let www = data(&namespace, "www").await?;
    verify::secret(&www, &roots, &["www.example".to_owned()])?;
    Ok(())
}

/// A ClusterIssuer has its CA where the operator is told to keep them, for every namespace.
pub(crate) async fn a_cluster_issuer_signs_for_every_namespace(bed: &Bed) -> Result<()> {
    let elsewhere = Api::<Secret>::namespaced(bed.client().clone(), "certwright");
    let issuers = Api::<ClusterIssuer>::all(bed.client().clone());
    let (root, key) = (self_signed("private-story")?, "private-story");
    bed.apply_all(&[
        issuer(
            "ClusterIssuer",
            "private",
            json!({"ca": {"secretName": key}}),
        ),
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": key, "namespace": "certwright"},
            "data": root,
        }),
    ])
    .await?;
    for place in ["one", "two"] {
        let namespace = bed.namespace(place).await?;
        let from = json!({"issuerRef": {"name": "private", "kind": "ClusterIssuer"}});
        namespace.apply_all(&[server("www", "", from)]).await?;
        namespace.ready("www", SOON).await?;
        let www = data(&namespace, "www").await?;
        let roots = [String::from_utf8(root["tls.crt"].0.clone())?];
        verify::secret(&www, &roots, &["www.example".to_owned()])?;
    }
    // What signs itself has its key beside the Certificate.
    let itself = "private-itself";
    let object = issuer("ClusterIssuer", itself, json!({"selfSigned": {}}));
    bed.apply_all(&[object]).await?;
    let namespace = bed.namespace("three").await?;
    let from = json!({"issuerRef": {"name": itself, "kind": "ClusterIssuer"}});
    namespace.apply_all(&[server("www", "", from)]).await?;
    namespace.ready("www", SOON).await?;
    let www = data(&namespace, "www").await?;
    assert_eq!(www["ca.crt"], www["tls.crt"]);
    issuers.delete(itself, &DeleteParams::default()).await?;

    elsewhere.delete(key, &DeleteParams::default()).await?;
    told(&issuers, "private", "ErrGetKeyPair", "not found").await?;
    issuers.delete("private", &DeleteParams::default()).await?;
    Ok(())
}

/// A certificate that should live longer than its CA ends with it, and that is told.
pub(crate) async fn a_leaf_ends_with_its_ca(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("short").await?;
    let mut root = authority("root", "itself");
    root["spec"]["duration"] = json!("2h");
    root["spec"]["renewBefore"] = json!("5m");
    namespace
        .apply_all(&[
            issuer("Issuer", "itself", json!({"selfSigned": {}})),
            issuer("Issuer", "root", json!({"ca": {"secretName": "root"}})),
            root,
            server("www", "root", json!({"duration": "48h"})),
        ])
        .await?;
    namespace.ready("www", SOON).await?;
    let ca = CertificateFacts::from_pem(&data(&namespace, "root").await?["tls.crt"].0)?;
    let leaf = CertificateFacts::from_pem(&data(&namespace, "www").await?["tls.crt"].0)?;
    assert_eq!(leaf.not_after, ca.not_after);
    let message = "sooner than asked for: then the CA of Issuer \"root\" expires";
    warned(&namespace, "LifetimeShortened", message).await
}

pub(crate) fn issuer(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    })
}

fn middle() -> Value {
    json!({"ca": {
        "secretName": "middle",
        "crlDistributionPoints": ["http://middle.example/crl"],
        "ocspServers": ["http://middle.example/ocsp"],
        "issuingCertificateURLs": ["http://middle.example/ca"],
    }})
}

/// The Certificate of a CA of that name.
fn authority(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name},
        "spec": {
            "isCA": true, "commonName": name, "secretName": name, "issuerRef": {"name": from},
            "privateKey": {"algorithm": "ECDSA"},
        },
    })
}

/// The Certificate of a server, with this in its spec.
fn server(name: &str, from: &str, more: Value) -> Value {
    let mut spec = json!({
        "dnsNames": [format!("{name}.example")], "secretName": name, "issuerRef": {"name": from},
        "privateKey": {"algorithm": "ECDSA"},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name},
        "spec": spec,
    })
}

/// A CA as people bring it along: made elsewhere, valid for a while.
pub(crate) fn self_signed(name: &str) -> Result<BTreeMap<&'static str, ByteString>> {
    brought_along(name, rcgen::CertificateParams::default())
}

/// One that was forgotten.
fn expired() -> Result<BTreeMap<&'static str, ByteString>> {
    let mut ca = rcgen::CertificateParams::default();
    ca.not_after = time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
    brought_along("forgotten", ca)
}

fn brought_along(
    name: &str,
    mut ca: rcgen::CertificateParams,
) -> Result<BTreeMap<&'static str, ByteString>> {
    let key = rcgen::KeyPair::generate()?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(rcgen::DnType::CommonName, name);
    let pem = ca.self_signed(&key)?.pem();
    let entries = [("tls.crt", pem), ("tls.key", key.serialize_pem())];
    Ok(entries
        .map(|(entry, text)| (entry, ByteString(text.into_bytes())))
        .into())
}

pub(crate) async fn data(
    namespace: &Namespace,
    secret: &str,
) -> Result<BTreeMap<String, ByteString>> {
    let secret: Secret = namespace.api().get(secret).await?;
    secret.data.context("an empty Secret")
}

/// Wait for a warning with that reason that says so.
pub(crate) async fn warned(namespace: &Namespace, reason: &str, message: &str) -> Result<()> {
    let events: Api<Event> = namespace.api();
    until("a warning", SOON, async || {
        let events = events.list(&ListParams::default()).await?;
        let warned = events.iter().any(|event| {
            let note = event.note.as_deref().unwrap_or_default();
            event.type_.as_deref() == Some("Warning")
                && event.reason.as_deref() == Some(reason)
                && note.contains(message)
        });
        ensure!(warned, "{} events", events.items.len());
        Ok(())
    })
    .await
}
