//! What does cert-manager leave of issuances by ACME that it had begun?

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use certwright::{
    acme::{
        AccountKey, Client, Session, account::Registration, authorization::Authorization,
        order::OrderRequest,
    },
    api::{challenge::Challenge, issuer::Issuer, order::Order, request::CertificateRequest},
    net::http::Options,
    pki::{PublicKeyHash, key::KeyEncoding},
};
use instant_acme::{ChallengeType, Identifier, OrderStatus};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::Pebble,
    bed::ZONE,
    dns::{Data, RecordType},
    ingress::CLASS,
    process::wait::until,
};

use crate::{
    parts::{self, condition, issuer_is_ready, owner},
    predecessor::{Pair, Predecessor},
    site::SOON,
};

/// The finalizer of Challenges.
pub(crate) const FINALIZER: &str = "acme.cert-manager.io/finalizer";
/// The same, of older versions.
pub(crate) const LEGACY_FINALIZER: &str = "finalizer.acme.cert-manager.io";

/// Who writes Challenges and what leads to their proofs.
pub(crate) const CHALLENGES: &str = "cert-manager-challenges";

/// A namespace where cert-manager has an account at an ACME server, with the Issuer `acme`.
pub(crate) struct Begun<'a> {
    bed: &'a Bed,
    place: &'a Predecessor,
    session: Session,
}

/// A Certificate on its way.
pub(crate) struct Way {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) public_key: PublicKeyHash,
    pub(crate) request: String,
    pub(crate) request_uid: Option<String>,
    pub(crate) order: String,
    pub(crate) order_uid: Option<String>,
    url: String,
    authorization: Option<Authorization>,
    pair: Pair,
}

/// A Challenge.
pub(crate) struct Proof {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) object: Challenge,
}

impl<'a> Begun<'a> {
    pub(crate) async fn new(bed: &'a Bed, pebble: &Pebble, place: &'a Predecessor) -> Result<Self> {
        let key = parts::key(&json!({}))?;
        let pem = key.to_pem(KeyEncoding::Pkcs1)?;
        let key = AccountKey::new(key)?;
        let options = Options {
            ca_bundle: Some(pebble.tls_root().as_bytes().to_vec()),
            redirects: 0,
            ..Options::default()
        };
        let client = Client::new(options.client()?, pebble.directory_url())?;
        let account = client.new_account(&key, Registration::default()).await?;
        let hash = key.hash()?;
        let session = client.session(key, account.url.clone());
        let secret = json!({
            "metadata": {
                "name": "acme-account", "labels": {"app.kubernetes.io/managed-by": "cert-manager"},
            },
            "stringData": {"tls.key": *pem},
        });
        place
            .create::<Secret>("cert-manager-issuers", &secret)
            .await?;
        let solvers = json!([
            {"http01": {"ingress": {"name": "web"}}, "selector": {"dnsNames": [host(place, "edited")]}},
            {"dns01": bed.dns01("tsig"), "selector": {"dnsNames": [
                host(place, "recorded"), host(place, "ready"), host(place, "valid"),
            ]}},
            {"http01": {"ingress": {"ingressClassName": CLASS}}},
        ]);
        let issuer = bed.acme_issuer("acme", pebble, &solvers);
        place
            .namespace
            .apply_all(&[bed.tsig_secret("tsig")])
            .await?;
        place.create::<Issuer>("kubectl-create", &issuer).await?;
        let message = "The ACME account was registered with the ACME server";
        let status = json!({
            "acme": {"uri": account.url, "lastPrivateKeyHash": hash},
            "conditions": [issuer_is_ready("ACMEAccountRegistered", Some(message))],
        });
        place.report::<Issuer>("issuers", "acme", status).await?;
        Ok(Self {
            bed,
            place,
            session,
        })
    }

    /// A Certificate whose Order was placed, and no more.
    pub(crate) async fn order(&self, name: &str) -> Result<Way> {
        let host = host(self.place, name);
        self.bed.host(&host)?;
        let spec = spec(name, &host, "acme");
        let (uid, _) = self.place.asked(name, &spec).await?;
        let pair = self.place.sign(&spec)?;
        let next = self.place.next_key(name, &uid, &pair.key).await?;
        let request = self.place.request(name, 1, &spec, &pair.csr, &next).await?;
        let request_name = request.name_any();
        let order_name = order_name(&request_name, &spec);
        let approved = self.place.approve(&request_name).await?;
        let message = format!(
            "Waiting on certificate issuance from order {}/{order_name}: \"pending\"",
            self.place.namespace.name()
        );
        let pending = condition("Ready", "False", "Pending", &message);
        let status = json!({"conditions": [approved, pending]});
        self.place
            .report::<CertificateRequest>("certificaterequests-issuer-acme", &request_name, status)
            .await?;

        let asked = OrderRequest {
            identifiers: &[Identifier::Dns(host.clone())],
            not_after: None,
            profile: None,
            replaces: None,
        };
        let placed = self.session.new_order(&asked).await?;
        let authorization = placed.authorizations.first().context("no authorization")?;
        let authorization = self.session.authorization(authorization).await?;
        let request_uid = request.uid().context("no uid")?;
        let order = json!({
            "metadata": {
                "name": order_name,
                "annotations": request.annotations(),
                "labels": request.labels(),
                "ownerReferences":
                    [owner("cert-manager.io/v1", "CertificateRequest", &request_name, &request_uid)],
            },
            "spec": {
                "dnsNames": [host], "issuerRef": spec["issuerRef"],
                "request": BASE64_STANDARD.encode(&pair.csr),
            },
        });
        let manager = "cert-manager-certificaterequests-issuer-acme";
        let order = self.place.create::<Order>(manager, &order).await?;
        let offered = authorization.challenges.iter().map(|challenge| {
            let type_ = match challenge.r#type {
                ChallengeType::Http01 => "http-01",
                ChallengeType::Dns01 => "dns-01",
                _ => "another",
            };
            let token = challenge.token.clone().unwrap_or_default();
            json!({"type": type_, "url": challenge.url, "token": token})
        });
        let status = json!({
            "url": placed.url, "finalizeURL": placed.finalize, "state": "pending",
            "authorizations": [{
                "url": authorization.url, "identifier": host, "wildcard": false,
                "initialState": "pending", "challenges": offered.collect::<Vec<_>>(),
            }],
        });
        self.place
            .report::<Order>("orders", &order_name, status)
            .await?;
        Ok(Way {
            name: name.to_owned(),
            public_key: pair.key.public_key_hash()?,
            request: request_name,
            request_uid: Some(request_uid),
            order: order_name,
            order_uid: order.uid(),
            url: placed.url,
            authorization: Some(authorization),
            host,
            pair,
        })
    }

    /// A challenge by HTTP-01 whose proof was put in place, by an Ingress of its own or that one.
    pub(crate) async fn http01(
        &self,
        way: &Way,
        ingress: Option<&str>,
        finalizer: &str,
    ) -> Result<Proof> {
        let solver = match ingress {
            Some(name) => json!({"name": name}),
            None => json!({"ingressClassName": CLASS}),
        };
        let solver = json!({"http01": {"ingress": solver}});
        let proof = self.challenge(way, ChallengeType::Http01, solver).await?;
        self.guard(&proof, finalizer).await?;
        self.presented(&proof).await?;
        Ok(proof)
    }

    /// A challenge by HTTP-01 that waits for its turn.
    pub(crate) async fn not_begun(&self, way: &Way) -> Result<Proof> {
        let solver = json!({"http01": {"ingress": {"ingressClassName": CLASS}}});
        self.challenge(way, ChallengeType::Http01, solver).await
    }

    /// A challenge by DNS-01 whose record was made.
    pub(crate) async fn dns01(&self, way: &Way) -> Result<Proof> {
        let solver = json!({"dns01": self.bed.dns01("tsig")});
        let proof = self.challenge(way, ChallengeType::Dns01, solver).await?;
        self.guard(&proof, FINALIZER).await?;
        let record = format!("_acme-challenge.{}", way.host);
        self.bed
            .dns()
            .set_record(&record, &Data::Txt(proof.key.clone()))?;
        self.presented(&proof).await?;
        Ok(proof)
    }

    /// The CA has found the proof good, and cert-manager has taken it away.
    pub(crate) async fn proven(&self, way: &Way) -> Result<()> {
        let solver = json!({"dns01": self.bed.dns01("tsig")});
        let proof = self.challenge(way, ChallengeType::Dns01, solver).await?;
        let record = format!("_acme-challenge.{}", way.host);
        self.bed
            .dns()
            .set_record(&record, &Data::Txt(proof.key.clone()))?;
        self.session
            .accept_challenge(&proof.object.spec.url)
            .await?;
        until("an order that is ready", SOON, async || {
            let order = self.session.order(&way.url).await?;
            ensure!(order.status == OrderStatus::Ready, "{:?}", order.status);
            Ok(())
        })
        .await?;
        self.bed.dns().remove_record(&record, RecordType::TXT)?;
        let status = json!({
            "presented": false, "presentedAt": parts::SINCE, "processing": false,
            "state": "valid", "reason": "Successfully authorized domain",
        });
        self.place
            .report::<Challenge>("challenges", &proof.name, status)
            .await?;
        let status = json!({"state": "ready"});
        self.place
            .report::<Order>("orders", &way.order, status)
            .await
    }

    /// The CA has issued the certificate, and the Order has it.
    pub(crate) async fn finalized(&self, way: &Way) -> Result<()> {
        let order = self.session.order(&way.url).await?;
        let csr = pem::parse(&way.pair.csr)?;
        self.session.finalize(&order, csr.contents()).await?;
        let url = until("a certificate", SOON, async || {
            let order = self.session.order(&way.url).await?;
            order.certificate.context("none yet")
        })
        .await?;
        let chain = self.session.certificate(&url).await?;
        let certificate = ByteString(chain.pem.into_bytes());
        let status = json!({"state": "valid", "certificate": certificate});
        self.place
            .report::<Order>("orders", &way.order, status)
            .await
    }

    /// A Certificate with a key under a random name, and nothing asked for yet.
    pub(crate) async fn key_only(&self, name: &str) -> Result<Way> {
        self.local(name, false).await
    }

    /// A Certificate whose request was approved, and nobody has signed yet.
    pub(crate) async fn requested(&self, name: &str) -> Result<Way> {
        self.local(name, true).await
    }

    async fn local(&self, name: &str, requested: bool) -> Result<Way> {
        let host = host(self.place, name);
        let spec = spec(name, &host, "ca");
        let (uid, _) = self.place.asked(name, &spec).await?;
        let pair = self.place.sign(&spec)?;
        let next = self.place.next_key(name, &uid, &pair.key).await?;
        let mut request_uid = None;
        if requested {
            let request = self.place.request(name, 1, &spec, &pair.csr, &next).await?;
            self.place.approve(&request.name_any()).await?;
            request_uid = request.uid();
        }
        Ok(Way {
            name: name.to_owned(),
            public_key: pair.key.public_key_hash()?,
            request: parts::request_name(name, 1),
            request_uid,
            order: String::new(),
            order_uid: None,
            url: String::new(),
            authorization: None,
            host,
            pair,
        })
    }

    async fn challenge(&self, way: &Way, type_: ChallengeType, solver: Value) -> Result<Proof> {
        let authorization = way.authorization.as_ref().context("no authorization")?;
        let offered = authorization
            .challenges
            .iter()
            .find(|one| one.r#type == type_);
        let offered = offered.context("no such challenge")?;
        let token = offered.token.as_deref().context("no token")?;
        let (type_, key) = match type_ {
            ChallengeType::Dns01 => ("DNS-01", self.session.key().dns_value(token)),
            _ => ("HTTP-01", self.session.key().key_authorization(token)),
        };
        let uid = way.order_uid.as_deref().context("no uid")?;
        let challenge = json!({
            "metadata": {
                "name": format!("{}-2718281828", way.order),
                "ownerReferences": [owner("acme.cert-manager.io/v1", "Order", &way.order, uid)],
            },
            "spec": {
                "authorizationURL": authorization.url, "dnsName": way.host, "key": key,
                "issuerRef": {"name": "acme"}, "solver": solver, "token": token, "type": type_,
                "url": offered.url, "wildcard": false,
            },
        });
        let object: Challenge = self.place.create("cert-manager-orders", &challenge).await?;
        Ok(Proof {
            name: object.name_any(),
            key,
            object,
        })
    }

    async fn guard(&self, proof: &Proof, finalizer: &str) -> Result<()> {
        let challenges: Api<Challenge> = self.place.namespace.api();
        let applied = json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge",
            "metadata": {"name": proof.name, "finalizers": [finalizer]},
        });
        let params = PatchParams::apply(CHALLENGES).force();
        challenges
            .patch(&proof.name, &params, &Patch::Apply(applied))
            .await?;
        Ok(())
    }

    async fn presented(&self, proof: &Proof) -> Result<()> {
        let type_ = proof.object.spec.type_.as_str();
        let status = json!({
            "presented": true, "presentedAt": parts::SINCE, "processing": true, "state": "pending",
            "reason": format!("Waiting for {type_} challenge propagation: wrong status code '503'"),
        });
        self.place
            .report::<Challenge>("challenges", &proof.name, status)
            .await
    }
}

fn host(place: &Predecessor, name: &str) -> String {
    format!("{name}.{}.{ZONE}", place.namespace.name())
}

fn spec(name: &str, host: &str, issuer: &str) -> Value {
    json!({
        "secretName": name, "dnsNames": [host], "privateKey": {"algorithm": "ECDSA"},
        "issuerRef": {"name": issuer},
    })
}

/// FNV-1 of what is ordered.
fn order_name(request: &str, spec: &Value) -> String {
    let (issuer, names) = (&spec["issuerRef"], &spec["dnsNames"]);
    let text = format!("{{\"request\":null,\"issuerRef\":{issuer},\"dnsNames\":{names}}}");
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        hash.wrapping_mul(0x0100_0193) ^ u32::from(byte)
    });
    format!("{request}-{hash}")
}
