//! Is an account used only where it belongs, and a key read once?

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ::http::{Request, Response};
use k8s_openapi::ByteString;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::{
    acme::Silent,
    api::{issuer::Issuer, reference::IssuerRef},
    issuer::view::Issuers,
    net::script::{Script, answer},
    pki::key::KeyEncoding,
};

const URL: &str = "https://ca.example/acct/1";

/// A cluster with one Secret, and sessions that read it.
struct World {
    sessions: Sessions,
    reads: Arc<AtomicUsize>,
    secret: Arc<Mutex<(String, String)>>,
}

fn world(key: &AccountKey) -> World {
    let secret = Arc::new(Mutex::new(("1".to_owned(), pem(key))));
    let reads = Arc::new(AtomicUsize::new(0));
    let (served, counted) = (Arc::clone(&secret), Arc::clone(&reads));
    let service = service_fn(move |request: Request<Body>| {
        assert_eq!(
            request.uri().path(),
            "/api/v1/namespaces/web/secrets/account"
        );
        counted.fetch_add(1, Ordering::SeqCst);
        let (version, pem) = served.lock().unwrap().clone();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "namespace": "web", "name": "account", "uid": "s", "resourceVersion": version,
            },
            "data": {"tls.key": ByteString(pem.into_bytes())},
        });
        let body = Body::from(serde_json::to_vec(&secret).unwrap());
        async move { Ok::<_, std::convert::Infallible>(Response::new(body)) }
    });
    let versions: SecretVersions = {
        let secret = Arc::clone(&secret);
        Arc::new(move |_| {
            Some(SecretVersion {
                uid: "s".into(),
                resource_version: secret.lock().unwrap().0.clone(),
            })
        })
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Client::new(service, "default");
    World {
        sessions: Sessions::new(cluster, versions, Arc::new(Silent), Clock::default()),
        reads,
        secret,
    }
}

fn pem(key: &AccountKey) -> String {
    key.to_pem(KeyEncoding::Pkcs8).unwrap().to_string()
}

fn issuer(server: &str, account: Value, observed: i64) -> IssuerView {
    let ready = json!({"type": "Ready", "status": "True", "observedGeneration": observed});
    issuer_that_is(server, account, ready)
}

fn issuer_that_is(server: &str, account: Value, ready: Value) -> IssuerView {
    let issuers = Issuers {
        namespaced: Arc::default(),
        cluster: Arc::default(),
        cluster_resource_namespace: "system".into(),
    };
    let issuer: Issuer = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": {"namespace": "web", "name": "le", "uid": "i", "generation": 2},
        "spec": {"acme": {"server": server, "privateKeySecretRef": {"name": "account"}}},
        "status": {"acme": account, "conditions": [ready]},
    }))
    .unwrap();
    issuers.namespaced.observe(issuer);
    let reference = IssuerRef {
        name: "le".into(),
        ..IssuerRef::default()
    };
    issuers.lookup(&reference, "web").unwrap()
}

fn account(key: &AccountKey) -> Value {
    json!({"uri": URL, "lastPrivateKeyHash": key.hash().unwrap()})
}

#[tokio::test]
async fn a_session_needs_an_account_that_fits() {
    let key = AccountKey::generate().unwrap();
    let other = AccountKey::generate().unwrap();
    let World { sessions, .. } = world(&key);
    let here = "https://ca.example/dir";
    let session = sessions.session(&issuer(here, account(&key), 2)).await;
    assert_eq!(session.unwrap().account_url(), URL);
    let table = [
        (
            here,
            json!(null),
            2,
            "Issuer \"le\" has no ACME account yet",
        ),
        (
            here,
            account(&key),
            1,
            "Issuer \"le\" has changed and is being checked",
        ),
        (
            "https://ca.test/dir",
            account(&key),
            2,
            "Issuer \"le\" has no ACME account yet",
        ),
        (
            here,
            account(&other),
            2,
            "the account key of Issuer \"le\" has changed, and its account is being checked",
        ),
    ];
    for (server, account, observed, message) in table {
        let view = issuer(server, account, observed);
        let error = sessions.session(&view).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn an_account_may_be_where_the_ca_makes_accounts() {
    let key = AccountKey::generate().unwrap();
    let World { sessions, .. } = world(&key);
    for (new_account, is_its) in [
        ("https://ca.example/new-acct", true),
        ("https://ca.test/new-acct", false),
    ] {
        let directory = json!({"newNonce": "n", "newAccount": new_account, "newOrder": "o"});
        let server = Script::start(&[answer("200 OK", &directory.to_string())]).await;
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "ACMEAccountRegistered",
            "observedGeneration": 2,
        });
        let view = issuer_that_is(&format!("{}/dir", server.url()), account(&key), ready);
        let session = sessions.session(&view).await;
        assert_eq!(session.is_ok(), is_its, "{session:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn the_key_is_read_again_when_its_secret_changes() {
    let key = AccountKey::generate().unwrap();
    let World {
        sessions,
        reads,
        secret,
    } = world(&key);
    let view = issuer("https://ca.example/dir", account(&key), 2);
    for _ in 0..3 {
        sessions.session(&view).await.unwrap();
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    let new = AccountKey::generate().unwrap();
    *secret.lock().unwrap() = ("2".to_owned(), pem(&new));
    let error = sessions.session(&view).await.unwrap_err();
    assert!(matches!(error, Error::KeyChanged { .. }), "{error}");
    assert_eq!(reads.load(Ordering::SeqCst), 2);
    let view = issuer("https://ca.example/dir", account(&new), 2);
    let session = sessions.session(&view).await.unwrap();
    assert_eq!(session.key().thumbprint(), new.thumbprint());
    assert_eq!(reads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn issuers_of_one_server_share_its_client() {
    let World { sessions, .. } = world(&AccountKey::generate().unwrap());
    let acme = |value: Value| -> AcmeIssuer { serde_json::from_value(value).unwrap() };
    let reference = json!({"name": "account"});
    let plain = acme(json!({"server": "https://a", "privateKeySecretRef": reference}));
    let open = AcmeIssuer {
        skip_tls_verify: Some(true),
        ..plain.clone()
    };
    sessions.client(&plain).unwrap();
    sessions.client(&plain).unwrap();
    assert_eq!(sessions.servers.len(), 1);
    sessions.client(&open).unwrap();
    assert_eq!(sessions.servers.len(), 2, "another trust is another client");
    let bad = AcmeIssuer {
        ca_bundle: Some(ByteString(b"no PEM".to_vec())),
        ..plain
    };
    let error = sessions.client(&bad).unwrap_err();
    assert_eq!(error.condition_reason(), "InvalidConfig");
    assert_eq!(sessions.servers.len(), 2);
}
