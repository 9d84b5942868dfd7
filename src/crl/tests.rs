//! What becomes of a list that a ConfigMap cannot hold?

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use ::http::{Method, Request, Response, StatusCode};
use jiff::SignedDuration;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Time};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::{
    api::{
        condition,
        issuance::{Issuance, IssuanceState},
        issuer::{ClusterIssuer, Issuer},
    },
    cluster::{Cache, Clock, ObjectKey, Reconciler},
    issuer::{IssuerKind, Issuers, LocalSigners, SecretVersion},
    pki::crl::SerialNumber,
    retire::{facts::IssuanceFacts, record::ClusterId},
};

const DAY: i64 = 86_400;

/// The ConfigMap that an API server holds.
type Stored = Arc<Mutex<Option<Value>>>;

/// An issuer with a CA, what it has revoked, and an API server with room for so many bytes.
struct World {
    reconciler: ListReconciler,
    clock: Clock,
    stored: Stored,
    kind: IssuerKind,
}

impl World {
    async fn new() -> Self {
        Self::of(IssuerKind::Issuer).await
    }

    async fn of(kind: IssuerKind) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (stored, clock) = (Stored::default(), Clock::default());
        let service = server(&clock, Arc::clone(&stored), kind);
        let client = Client::new(service, "default");
        let issuers = Issuers {
            namespaced: Arc::default(),
            cluster: Arc::default(),
            cluster_resource_namespace: "system".into(),
        };
        match kind {
            IssuerKind::Issuer => {
                let issuer: Issuer = serde_json::from_value(issuer(kind)).unwrap();
                issuers.namespaced.observe(issuer);
            }
            IssuerKind::ClusterIssuer => {
                let issuer: ClusterIssuer = serde_json::from_value(issuer(kind)).unwrap();
                issuers.cluster.observe(issuer);
            }
        }
        let version = |_: &ObjectKey| {
            Some(SecretVersion {
                uid: "s".into(),
                resource_version: "1".into(),
            })
        };
        let local = LocalSigners::new(client.clone(), Arc::new(version), clock.clone());
        let reconciler = ListReconciler {
            cluster: Arc::new(ClusterId::new(client.clone())),
            client,
            clock: clock.clone(),
            issuers,
            lists: Arc::default(),
            issuances: Arc::<Cache<IssuanceFacts>>::default(),
            local: Arc::new(local),
            most_bytes: MOST_BYTES,
            waiting: Arc::default(),
            numbers: Mutex::default(),
        };
        Self {
            reconciler,
            clock,
            stored,
            kind,
        }
    }

    /// The certificates with these serials are to be revoked.
    fn revoke(&self, serials: std::ops::Range<u32>) {
        self.revoke_of("web", serials);
    }

    fn revoke_of(&self, namespace: &str, serials: std::ops::Range<u32>) {
        let now = self.clock.now();
        let end = Time(
            now.saturating_add(SignedDuration::from_hours(9999))
                .unwrap(),
        );
        for serial in serials {
            let issuance: Issuance = serde_json::from_value(json!({
                "apiVersion": "certwright.io/v1alpha1", "kind": "Issuance",
                "metadata": {
                    "namespace": "system", "name": format!("www-{serial}"),
                    "uid": serial.to_string(), "resourceVersion": "1",
                },
                "spec": {
                    "certificate": "", "cluster": "here", "deletionPolicy": "Revoke",
                    "certificateRef": {
                        "name": "www", "namespace": namespace, "uid": "c", "since": Time(now),
                    },
                    "issuerRef": {"name": "ca", "kind": self.kind.as_str()}, "names": [], "notAfter": end,
                    "notBefore": Time(now), "publicKey": "", "secretName": "www",
                    "serial": hex(serial),
                },
                "status": {
                    "state": IssuanceState::Revoking,
                    "request": {"by": "somebody", "reason": "superseded", "time": Time(now)},
                },
            }))
            .unwrap();
            self.reconciler.issuances.observe(issuance);
        }
    }

    /// Work on the list until nothing more is to be done now: what the issuer says of it.
    async fn settle(&self) -> (String, String) {
        // Lists have a second each.
        self.clock.advance(2);
        let issuer = issuer_key(self.kind);
        for _ in 0..2 {
            self.reconciler.reconcile(&issuer).await.unwrap();
        }
        let issuer = self.reconciler.issuers.get(self.kind, &issuer).unwrap();
        let found = condition::find(issuer.status.conditions.as_ref(), reconcile::CONDITION);
        let found = found.unwrap().clone();
        (found.reason.unwrap(), found.message.unwrap())
    }

    fn list(&self) -> crate::pki::crl::RevocationList {
        let place = ObjectKey::new(secrets_namespace(self.kind), "ca-crl");
        let stored = self.reconciler.lists.get(&place).unwrap();
        assert!(stored.is_whole);
        stored.list.clone().unwrap()
    }

    fn serials(&self) -> BTreeSet<SerialNumber> {
        self.list().entries.into_keys().collect()
    }

    /// How many bytes the data of the ConfigMap takes.
    fn size(&self) -> usize {
        let stored = self.stored.lock().unwrap().clone().unwrap();
        let der: ByteString =
            serde_json::from_value(stored["binaryData"]["ca.crl.der"].clone()).unwrap();
        stored["data"]["ca.crl"].as_str().unwrap().len() + der.0.len()
    }
}

/// Serials have the sixteen bytes that ours have.
fn hex(serial: u32) -> String {
    format!("7{serial:031x}")
}

fn numbers(serials: std::ops::Range<u32>) -> BTreeSet<SerialNumber> {
    let number = |serial| SerialNumber::from_hex(&hex(serial)).unwrap();
    serials.map(number).collect()
}

fn issuer(kind: IssuerKind) -> Value {
    let mut issuer = json!({
        "apiVersion": "cert-manager.io/v1", "kind": kind.as_str(),
        "metadata": {"name": "ca", "uid": "i", "resourceVersion": "1", "generation": 1},
        "spec": {"ca": {"secretName": "root", "crl": {"validity": "72h"}}},
    });
    if kind == IssuerKind::Issuer {
        issuer["metadata"]["namespace"] = json!("web");
    }
    issuer
}

fn issuer_key(kind: IssuerKind) -> ObjectKey {
    match kind {
        IssuerKind::Issuer => ObjectKey::new("web", "ca"),
        IssuerKind::ClusterIssuer => ObjectKey::cluster("ca"),
    }
}

fn secrets_namespace(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::Issuer => "web",
        IssuerKind::ClusterIssuer => "system",
    }
}

/// Answers as the API server does, with a CA that lives for years.
fn server(
    clock: &Clock,
    stored: Stored,
    kind: IssuerKind,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Send + 'static,
> + Send
+ 'static {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let day = |days: i64| {
        let seconds = clock.now().as_second() + days * DAY;
        time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    };
    (ca.not_before, ca.not_after) = (day(-1), day(1000));
    let certificate = ca.self_signed(&key).unwrap().pem();
    let text = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let namespace = secrets_namespace(kind);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": namespace, "name": "root", "uid": "s", "resourceVersion": "1"},
        "data": {"tls.crt": text(&certificate), "tls.key": text(&key.serialize_pem())},
    });
    let version = Arc::new(Mutex::new(1));
    let issuer = Arc::new(Mutex::new(issuer(kind)));
    service_fn(move |request: Request<Body>| {
        let (secret, stored) = (secret.clone(), Arc::clone(&stored));
        let (version, issuer) = (Arc::clone(&version), Arc::clone(&issuer));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let next = || {
                let mut version = version.lock().unwrap();
                *version += 1;
                version.to_string()
            };
            let answer = match (&parts.method, parts.uri.path()) {
                (&Method::GET, "/api/v1/namespaces/kube-system") => json!({
                    "apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": "kube-system", "uid": "here"},
                }),
                (
                    &Method::GET,
                    "/api/v1/namespaces/web/secrets/root"
                    | "/api/v1/namespaces/system/secrets/root",
                ) => secret,
                (
                    &Method::POST,
                    "/api/v1/namespaces/web/configmaps" | "/api/v1/namespaces/system/configmaps",
                ) => {
                    let mut made = body;
                    made["metadata"]["uid"] = json!("m");
                    made["metadata"]["resourceVersion"] = json!(next());
                    stored.lock().unwrap().insert(made).clone()
                }
                (
                    &Method::PATCH,
                    "/api/v1/namespaces/web/configmaps/ca-crl"
                    | "/api/v1/namespaces/system/configmaps/ca-crl",
                ) => {
                    let mut stored = stored.lock().unwrap();
                    let stored = stored.as_mut().unwrap();
                    merge(stored, body);
                    stored["metadata"]["resourceVersion"] = json!(next());
                    stored.clone()
                }
                (
                    &Method::PATCH,
                    "/apis/cert-manager.io/v1/namespaces/web/issuers/ca/status"
                    | "/apis/cert-manager.io/v1/clusterissuers/ca/status",
                ) => {
                    let mut issuer = issuer.lock().unwrap();
                    merge(&mut issuer, body);
                    issuer["metadata"]["resourceVersion"] = json!(next());
                    issuer.clone()
                }
                other => panic!("{other:?}"),
            };
            let body = Body::from(serde_json::to_vec(&answer).unwrap());
            let response = Response::builder().status(StatusCode::OK).body(body);
            Ok::<_, Infallible>(response.unwrap())
        }
    })
}

/// As a merge patch is applied (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    for (key, value) in patch {
        match value.is_null() {
            true => drop(target.as_object_mut().unwrap().remove(&key)),
            false => merge(&mut target[key], value),
        }
    }
}

#[tokio::test]
async fn what_has_no_room_is_told_and_what_was_listed_stays_so() {
    let mut world = World::new().await;
    world.revoke(0..20);
    assert_eq!(world.settle().await.0, "Published");
    let first = world.list();
    assert_eq!(world.serials(), numbers(0..20));

    world.reconciler.most_bytes = world.size() + 100;
    world.revoke(20..40);
    let (reason, message) = world.settle().await;
    assert_eq!(reason, "TooLarge");
    let limit = world.reconciler.most_bytes.to_string();
    for part in ["40 certificates", &limit, "spec.duration"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(world.list(), first);

    // It does not expire, and so nothing on it is believed good again.
    world.clock.advance(2 * DAY);
    assert_eq!(world.settle().await.0, "TooLarge");
    let second = world.list();
    assert_eq!(second.entries, first.entries);
    assert!(second.number > first.number && second.next_update > first.next_update);

    // There is room again.
    world.reconciler.most_bytes = MOST_BYTES;
    assert_eq!(world.settle().await.0, "Published");
    assert_eq!(world.serials(), numbers(0..40));
    assert!(world.list().number > second.number);
}

#[tokio::test]
async fn no_namespace_takes_all_room_of_a_cluster_issuer() {
    let world = World::of(IssuerKind::ClusterIssuer).await;
    let ca = issuer_key(world.kind);
    let waits = |namespace| world.reconciler.waiting.holds(&ca, namespace);
    world.revoke_of("web", 0..9000);
    let (reason, message) = world.settle().await;
    assert_eq!(reason, "Published");
    assert!(message.contains("what they revoked last: 1 "), "{message}");
    assert_eq!(world.serials(), numbers(0..4000));
    assert!(waits("web") && !waits("shop"));

    world.revoke_of("shop", 10_000..10_100);
    assert_eq!(world.settle().await.0, "Published");
    let both = numbers(0..4000).into_iter().chain(numbers(10_000..10_100));
    assert_eq!(world.serials(), both.collect());
    assert!(waits("web") && !waits("shop"));
}

/// As many as the documentation says.
#[tokio::test]
async fn some_nine_thousand_have_room() {
    let world = World::new().await;
    world.revoke(0..9000);
    assert_eq!(world.settle().await.0, "Published");
    let (each, room) = (world.size() / 9000, MOST_BYTES - world.size());
    assert!(room / each < 1000, "{} more have room", room / each);
}
