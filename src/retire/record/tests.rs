//! Is everything that may be revoked written down, also where its issuer has gone meanwhile?

use std::convert::Infallible;

use http::{Request, Response};
use kube::client::Body;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::{
    api::{deletion::DeletionPolicy, issuer::Issuer},
    cluster::{Clock, Facts, metrics::Metrics},
    issuer::{IssuerFacts, IssuerView},
    retire::samples::at,
};

/// An API server that knows which cluster it is of, and nothing else.
async fn answer(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "here"},
    });
    Ok(Response::new(Body::from(
        namespace.to_string().into_bytes(),
    )))
}

fn recorder(caches: &Caches) -> Recorder {
    let client = Client::new(service_fn(answer), "default");
    let clock = Clock::default();
    let metrics = Metrics::new(clock.clone()).unwrap();
    let (events, _unsent) = Events::new(client.clone(), clock, metrics, "test");
    let settings = Settings {
        delay: jiff::SignedDuration::from_hours(1),
        default_policy: DeletionPolicy::Revoke,
        users_are_checked: true,
    };
    let cluster = Arc::new(ClusterId::new(client.clone()));
    Recorder::new(client, caches, events, "system", cluster, settings)
}

fn certificate() -> CertificateFacts {
    let value = json!({
        "metadata": {"namespace": "web", "name": "www", "uid": "c"},
        "spec": {"secretName": "www-tls", "issuerRef": {"name": "ca"}},
    });
    CertificateFacts::reduce(serde_json::from_value(value).unwrap())
}

fn issued(group: Option<&str>) -> Issued {
    let params = CertificateParams::new(vec!["www.example".to_owned()]).unwrap();
    let pem = params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem();
    let issuer = IssuerRef {
        name: "ca".to_owned(),
        group: group.map(str::to_owned),
        kind: None,
    };
    Issued::new(
        ObjectKey::new("web", "www-1"),
        issuer,
        pem.into_bytes(),
        None,
    )
}

fn issuer(spec: Value) -> Issuer {
    let value = json!({
        "metadata": {"namespace": "web", "name": "ca", "uid": "i"}, "spec": spec,
        "status": {"acme": {"uri": "https://ca.example/acct/1"}},
    });
    serde_json::from_value(value).unwrap()
}

fn acme() -> Value {
    json!({
        "acme": {"server": "https://ca.example/dir", "privateKeySecretRef": {"name": "account"}},
        "deletionPolicy": "Delete",
    })
}

fn moved() -> Value {
    let mut spec = acme();
    spec["acme"]["server"] = json!("https://other.example/dir");
    spec
}

/// `acme`, `list`, `settled` or `impossible`.
async fn recorded(caches: &Caches, issued: &Issued, is_ordered: bool) -> &'static str {
    let now = at("2026-01-01T00:00:00Z");
    let (recorder, certificate) = (recorder(caches), certificate());
    let recording = recorder.recording(&certificate, issued, is_ordered, now);
    match recording.await.unwrap() {
        Recording::Settled => "settled",
        Recording::Impossible(why) => {
            assert!(
                why.contains("Issuer \"ca\" that ordered it is gone"),
                "{why}"
            );
            "impossible"
        }
        Recording::Missing(record) => {
            let spec = &record.spec;
            assert_eq!((&*spec.cluster, &*spec.secret_name), ("here", "www-tls"));
            assert_eq!(spec.revocable, None);
            assert_eq!(spec.names, ["www.example"]);
            let state = record.status.as_ref().and_then(|status| status.state);
            assert_eq!(state, Some(IssuanceState::Active));
            match &spec.acme {
                Some(origin) => {
                    assert_eq!(origin.server, "https://ca.example/dir");
                    assert_eq!(spec.deletion_policy, DeletionPolicy::Delete);
                    "acme"
                }
                None => "list",
            }
        }
    }
}

#[tokio::test]
async fn what_may_be_revoked_is_written_down() {
    let table = [
        (Some(acme()), true, "acme"),
        // It has been given another server, and no account there yet.
        (Some(moved()), true, "impossible"),
        (Some(moved()), false, "impossible"),
        (
            Some(json!({"ca": {"secretName": "r", "crl": {}}})),
            false,
            "list",
        ),
        (Some(json!({"ca": {"secretName": "r"}})), false, "settled"),
        (Some(json!({"selfSigned": {}})), false, "settled"),
        (None, false, "settled"),
        (None, true, "impossible"),
        // It was an ACME issuer when it ordered.
        (Some(json!({"selfSigned": {}})), true, "impossible"),
        (
            Some(json!({"ca": {"secretName": "r", "crl": {}}})),
            true,
            "impossible",
        ),
    ];
    for (spec, is_ordered, want) in table {
        let caches = Caches::new("system", None);
        if let Some(spec) = &spec {
            caches.issuers.namespaced.observe(issuer(spec.clone()));
        }
        let found = recorded(&caches, &issued(None), is_ordered).await;
        assert_eq!(found, want, "{spec:?} {is_ordered}");
        let foreign = recorded(&caches, &issued(Some("example.com")), false).await;
        assert_eq!(foreign, "settled");
    }
}

#[tokio::test]
async fn an_issuer_that_has_just_gone_is_known() {
    let caches = Caches::new("system", None);
    let issued = issued(None);
    assert_eq!(recorded(&caches, &issued, true).await, "impossible");
    let gone = IssuerFacts::reduce(issuer(acme()));
    let gone = IssuerView::of(&gone, &"system".into());
    caches.departed.note_issuer(gone);
    assert_eq!(recorded(&caches, &issued, true).await, "acme");
    // Once it is written down, that is all.
    let now = at("2026-01-01T00:00:00Z");
    let (recorder, certificate) = (recorder(&caches), certificate());
    let recording = recorder.recording(&certificate, &issued, true, now);
    let Recording::Missing(record) = recording.await.unwrap() else {
        panic!("not to be written");
    };
    caches.issuances.observe((*record).clone());
    assert_eq!(recorded(&caches, &issued, true).await, "settled");
}
