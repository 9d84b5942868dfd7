//! Are keys read when they must be, and no more often? Does each trouble get its word?

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use ::http::{Request, Response, StatusCode};
use k8s_openapi::ByteString;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::{
    api::{issuer::Issuer, reference::IssuerRef},
    issuer::{kind::Signer, view::Issuers},
    pki::{
        certificate::CertificateFacts,
        csr::{CertificateSigningRequest, RequestParameters},
        key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
        names::Names,
    },
};

/// The data of the only Secret there is, if there is one, and its version.
type Stored = (usize, Option<Value>);

struct World {
    signers: LocalSigners,
    clock: Clock,
    reads: Arc<AtomicUsize>,
    stored: Arc<Mutex<Stored>>,
}

impl World {
    fn new() -> Self {
        let stored: Arc<Mutex<Stored>> = Arc::default();
        let reads = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&stored), Arc::clone(&reads));
        let service = service_fn(move |request: Request<Body>| {
            assert_eq!(request.uri().path(), "/api/v1/namespaces/web/secrets/pair");
            counted.fetch_add(1, Ordering::SeqCst);
            let (version, data) = served.lock().unwrap().clone();
            let (code, object) = match data {
                Some(data) => (
                    StatusCode::OK,
                    json!({
                        "apiVersion": "v1", "kind": "Secret", "data": data,
                        "metadata": {
                            "namespace": "web", "name": "pair", "uid": "s",
                            "resourceVersion": version.to_string(),
                        },
                    }),
                ),
                None => (
                    StatusCode::NOT_FOUND,
                    json!({
                        "kind": "Status", "apiVersion": "v1", "status": "Failure",
                        "reason": "NotFound", "message": "not found", "code": 404,
                    }),
                ),
            };
            let body = Body::from(serde_json::to_vec(&object).unwrap());
            let response = Response::builder().status(code).body(body).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let known = Arc::clone(&stored);
        let versions: SecretVersions = Arc::new(move |_| {
            let (version, data) = known.lock().unwrap().clone();
            data.map(|_| SecretVersion {
                uid: "s".into(),
                resource_version: version.to_string(),
            })
        });
        let clock = Clock::default();
        let cluster = Client::new(service, "default");
        Self {
            signers: LocalSigners::new(cluster, versions, clock.clone()),
            clock,
            reads,
            stored,
        }
    }

    fn store(&self, data: Option<Value>) {
        let mut stored = self.stored.lock().unwrap();
        *stored = (stored.0 + 1, data);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

fn text(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}

fn pair(certificate: &str, key: &str) -> Option<Value> {
    Some(json!({"tls.crt": text(certificate), "tls.key": text(key)}))
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap()).unwrap()
}

/// A CA that began a day ago and ends in ten, and its key.
fn ca(clock: &Clock) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let day = |days: i64| {
        let seconds = clock.now().as_second() + days * 86_400;
        time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
    };
    (ca.not_before, ca.not_after) = (day(-1), day(10));
    let certificate = ca.self_signed(&key).unwrap().pem();
    (certificate, key.serialize_pem())
}

fn issuer(spec: Value) -> IssuerView {
    let issuers = Issuers {
        namespaced: Arc::default(),
        cluster: Arc::default(),
        cluster_resource_namespace: "system".into(),
    };
    let issuer: Issuer = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": {"namespace": "web", "name": "own", "uid": "i"}, "spec": spec,
    }))
    .unwrap();
    issuers.namespaced.observe(issuer);
    let reference = IssuerRef {
        name: "own".into(),
        ..IssuerRef::default()
    };
    issuers.lookup(&reference, "web").unwrap()
}

/// A request that a test changes.
struct Asked {
    annotations: BTreeMap<String, String>,
    duration: Option<Duration>,
    is_ca: bool,
    csr: Result<CsrFacts, String>,
    pem: String,
}

impl Asked {
    fn by(key: &PrivateKey) -> Self {
        let parameters = RequestParameters {
            names: Names {
                dns: vec!["a.example".to_owned()],
                ..Names::default()
            },
            basic_constraints: true,
            ..RequestParameters::default()
        };
        let pem = CertificateSigningRequest::build(&parameters, key)
            .unwrap()
            .to_pem();
        let named = (
            "cert-manager.io/private-key-secret-name".to_owned(),
            "pair".to_owned(),
        );
        Self {
            annotations: BTreeMap::from([named]),
            duration: None,
            is_ca: false,
            csr: Ok(CsrFacts::from_pem(&pem).unwrap()),
            pem,
        }
    }

    async fn at(&self, world: &World, issuer: &IssuerView) -> Outcome {
        let input = SigningInput {
            namespace: "web",
            annotations: &self.annotations,
            key_annotation: "cert-manager.io/private-key-secret-name",
            duration: self.duration.as_ref(),
            is_ca: self.is_ca,
            usages: &[],
            ca_may_sign: true,
            csr: self.csr.as_ref().map_err(String::as_str),
            request: self.pem.as_bytes(),
            key: None,
        };
        let signed = world.signers.sign(issuer, &input).await;
        signed.unwrap().expect("signs in the cluster")
    }
}

/// The outcome in short: what became of it, reason, message.
fn shown(outcome: Outcome) -> (&'static str, &'static str, String) {
    match outcome {
        Outcome::Issued(_) => ("Issued", "", String::new()),
        Outcome::Pending(Said { reason, message }) => ("Pending", reason, message),
        Outcome::Failed(Said { reason, message }) => ("Failed", reason, message),
    }
}

#[tokio::test]
async fn a_ca_is_read_once_for_each_version_of_its_secret() {
    let world = World::new();
    let issuer = issuer(json!({"ca": {"secretName": "pair"}}));
    let Ok(Signer::Ca(spec)) = issuer.signer() else {
        panic!("no CA");
    };
    let asked = Asked::by(&key());
    let missing = "Referenced secret web/pair not found: it is waited for";
    let outcome = shown(asked.at(&world, &issuer).await);
    assert_eq!(outcome, ("Pending", "SecretMissing", missing.to_owned()));

    let (certificate, ca_key) = ca(&world.clock);
    world.store(pair(&certificate, &ca_key));
    let before = world.reads();
    let (_, change) = world.signers.check_ca(&issuer, spec).await.unwrap();
    let end = CertificateFacts::from_pem(&certificate).unwrap().not_after;
    assert_eq!(change, Some(end));
    for _ in 0..3 {
        assert_eq!(shown(asked.at(&world, &issuer).await).0, "Issued");
    }
    assert_eq!(world.reads() - before, 1);

    let (other, other_key) = ca(&world.clock);
    world.store(pair(&other, &other_key));
    let Outcome::Issued(issued) = asked.at(&world, &issuer).await else {
        panic!("not issued");
    };
    assert_eq!(issued.ca_pem, other);
    assert_eq!(world.reads() - before, 2);

    // The same Secret still, and its CA has expired.
    world.clock.advance(11 * 86_400);
    let (what, reason, message) = shown(asked.at(&world, &issuer).await);
    assert_eq!((what, reason), ("Pending", "SecretInvalidData"));
    let start = "Failed to parse signing CA keypair from secret web/pair: ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains("certificate expired at"), "{message}");
    let error = world.signers.check_ca(&issuer, spec).await.unwrap_err();
    assert_eq!(error.condition_reason(), "ErrInvalidKeyPair");

    world.store(None);
    assert_eq!(shown(asked.at(&world, &issuer).await).1, "SecretMissing");
}

#[tokio::test]
async fn the_issuer_says_what_its_secret_lacks() {
    let world = World::new();
    let issuer = issuer(json!({"ca": {"secretName": "pair"}}));
    let Ok(Signer::Ca(spec)) = issuer.signer() else {
        panic!("no CA");
    };
    let (certificate, ca_key) = ca(&world.clock);
    let (_, other_key) = ca(&world.clock);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::default();
    let leaf = leaf.self_signed(&leaf_key).unwrap().pem();
    let leaf_key = leaf_key.serialize_pem();
    let table = [
        (None, "ErrGetKeyPair", "not found in namespace \"web\""),
        (
            Some(json!({"tls.crt": text(&certificate)})),
            "ErrGetKeyPair",
            "has no entry \"tls.key\"",
        ),
        (
            pair("", &ca_key),
            "ErrGetKeyPair",
            "has no entry \"tls.crt\"",
        ),
        (pair("x", &ca_key), "ErrGetKeyPair", "it is not PEM"),
        (pair(&certificate, "x"), "ErrGetKeyPair", "private key"),
        (
            pair(&certificate, &other_key),
            "ErrInvalidKeyPair",
            "Error getting keypair for CA issuer: the private key does not belong to the \
             certificate; see Secret \"pair\" in namespace \"web\"",
        ),
        (
            pair(&leaf, &leaf_key),
            "ErrInvalidKeyPair",
            "Error getting keypair for CA issuer: certificate is not a CA; see Secret",
        ),
    ];
    for (data, reason, message) in table {
        world.store(data);
        let error = world.signers.check_ca(&issuer, spec).await.unwrap_err();
        assert_eq!(error.condition_reason(), reason, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(!error.to_string().contains(&ca_key), "never the key");
    }
}

#[tokio::test]
async fn a_leaf_that_ends_early_says_so() {
    let world = World::new();
    let issuer = issuer(json!({"ca": {"secretName": "pair"}}));
    let (certificate, ca_key) = ca(&world.clock);
    world.store(pair(&certificate, &ca_key));
    for (duration, remark) in [("24h", None), ("480h", Some("LifetimeShortened"))] {
        let asked = Asked {
            duration: Some(duration.into()),
            ..Asked::by(&key())
        };
        let Outcome::Issued(issued) = asked.at(&world, &issuer).await else {
            panic!("not issued");
        };
        assert_eq!(issued.remark.map(|said| said.reason), remark);
    }
}

#[tokio::test]
async fn what_cannot_be_made_fails_for_good() {
    let world = World::new();
    let issuer = issuer(json!({"ca": {"secretName": "pair"}}));
    let (certificate, ca_key) = ca(&world.clock);
    world.store(pair(&certificate, &ca_key));
    type Change = fn(&mut Asked);
    let table: [(Change, &str); 4] = [
        (|asked| asked.duration = Some("-1h".into()), "not positive"),
        (|asked| asked.duration = Some("1d".into()), "spec.duration"),
        (|asked| asked.is_ca = true, "basic constraints"),
        (|asked| asked.csr = Err("broken".into()), "broken"),
    ];
    for (change, why) in table {
        let mut asked = Asked::by(&key());
        change(&mut asked);
        let (what, reason, message) = shown(asked.at(&world, &issuer).await);
        assert_eq!((what, reason), ("Failed", "SigningError"));
        assert!(message.starts_with("Error generating certificate template: "));
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_request_that_signs_itself_waits_for_its_key_and_fails_with_another() {
    let world = World::new();
    let issuer = issuer(json!({"selfSigned": {}}));
    let own = key();
    let asked = Asked::by(&own);
    let pem = own.to_pem(KeyEncoding::Pkcs1).unwrap();
    let other = key().to_pem(KeyEncoding::Pkcs8).unwrap();
    let unreadable = "Failed to get key \"pair\" referenced in annotation \
                      \"cert-manager.io/private-key-secret-name\": ";
    let mismatch = "Error generating certificate template: CSR not signed by referenced private \
                    key: ";
    let missing = "Referenced secret web/pair not found: ";
    let table = [
        (None, "Pending", "MissingSecret", missing),
        (Some(json!({})), "Pending", "ErrorParsingKey", unreadable),
        (pair("", ""), "Pending", "ErrorParsingKey", unreadable),
        (pair("", "x"), "Pending", "ErrorParsingKey", unreadable),
        (pair("", &other), "Failed", "ErrorKeyMatch", mismatch),
        (pair("", &pem), "Issued", "", ""),
    ];
    for (data, what, reason, message) in table {
        world.store(data);
        let found = shown(asked.at(&world, &issuer).await);
        assert_eq!((found.0, found.1), (what, reason), "{}", found.2);
        assert!(found.2.starts_with(message), "{}", found.2);
    }
    let Outcome::Issued(issued) = asked.at(&world, &issuer).await else {
        panic!("not issued");
    };
    assert_eq!(issued.chain_pem, issued.ca_pem);
    let remark = issued.remark.unwrap();
    assert_eq!(remark.reason, "BadConfig");
    let bad = "Certificate will be issued with an empty Issuer DN, which contravenes RFC 5280 and \
               could break some strict clients";
    assert!(remark.message.starts_with(bad), "{}", remark.message);

    let annotation = "cert-manager.io/private-key-secret-name".to_owned();
    for annotations in [
        BTreeMap::new(),
        BTreeMap::from([(annotation, String::new())]),
    ] {
        let unnamed = Asked {
            annotations,
            ..Asked::by(&own)
        };
        let (what, reason, message) = shown(unnamed.at(&world, &issuer).await);
        assert_eq!((what, reason), ("Failed", "MissingAnnotation"));
        let start = "Annotation \"cert-manager.io/private-key-secret-name\" missing or reference \
                     empty: secret name missing";
        assert!(message.starts_with(start), "{message}");
    }
    let wrong = Asked {
        is_ca: true,
        ..Asked::by(&own)
    };
    let (what, reason, _) = shown(wrong.at(&world, &issuer).await);
    assert_eq!((what, reason), ("Failed", "ErrorGenerating"));
}
