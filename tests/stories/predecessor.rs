//! What does cert-manager 1.21 leave in a cluster? Its objects as it writes them, each field by the
//! field manager that writes it there.

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use certwright::{
    api::{certificate::Certificate, issuer::Issuer, request::CertificateRequest},
    pki::key::{KeyEncoding, PrivateKey},
};
use k8s_openapi::{
    NamespaceResourceScope, api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace};
use time::{Duration, OffsetDateTime};

use crate::{
    acceptance::Exhibit,
    parts::{self, condition, dates, issuer_is_ready, observed, owner, request_name, span},
    target::Target,
};

/// Who asks for Certificates.
const USER: &str = "kubectl-create";
/// Why a Certificate is issued for the first time.
const MISSING: (&str, &str) = (
    "DoesNotExist",
    "Issuing certificate as Secret does not exist",
);
/// The user that cert-manager is.
const CERT_MANAGER: &str = "system:serviceaccount:cert-manager:cert-manager";

/// A namespace that cert-manager works in, with an Issuer `ca`, whose key pair the user has put there,
/// and an Issuer `self`.
pub(crate) struct Predecessor {
    pub(crate) namespace: Namespace,
    ca: rcgen::Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// A key pair, and what was signed for it.
pub(crate) struct Pair {
    pub(crate) key: PrivateKey,
    pub(crate) csr: String,
    pub(crate) chain: String,
    pub(crate) ca: Option<String>,
}

impl Predecessor {
    pub(crate) async fn new(bed: &Bed, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let ca_pem = params.self_signed(&key)?.pem();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "ca"},
            "stringData": {"tls.crt": ca_pem, "tls.key": key.serialize_pem()},
        });
        let predecessor = Self {
            namespace: bed.namespace(name).await?,
            ca: rcgen::Issuer::new(params, key),
            ca_pem,
        };
        predecessor.namespace.apply_all(&[secret]).await?;
        let verified = issuer_is_ready("KeyPairVerified", Some("Signing CA verified"));
        for (name, spec, ready) in [
            ("ca", json!({"ca": {"secretName": "ca"}}), verified),
            (
                "self",
                json!({"selfSigned": {}}),
                issuer_is_ready("IsReady", None),
            ),
        ] {
            let issuer = json!({"metadata": {"name": name}, "spec": spec});
            predecessor.create::<Issuer>(USER, &issuer).await?;
            let status = json!({"conditions": [ready]});
            predecessor
                .report::<Issuer>("issuers", name, status)
                .await?;
        }
        Ok(predecessor)
    }

    /// A Certificate of `spec` that was issued, and is up to date. `owner` is cert-manager's
    /// `--enable-certificate-owner-ref`.
    pub(crate) async fn issued(&self, name: &str, spec: &Value, owner: bool) -> Result<()> {
        self.issued_as(name, spec, &self.sign(spec)?, &[], owner)
            .await
    }

    /// The same, with that pair and those key stores.
    pub(crate) async fn issued_as(
        &self,
        name: &str,
        spec: &Value,
        pair: &Pair,
        stores: &[(&'static str, &'static [u8])],
        owner: bool,
    ) -> Result<()> {
        let (uid, _) = self.asked(name, spec).await?;
        let next = self.next_key(name, &uid, &pair.key).await?;
        self.request(name, 1, spec, &pair.csr, &next).await?;
        self.sign_request(name, pair).await?;
        let target = Target {
            name,
            spec,
            pair,
            stores,
            owner: owner.then_some(&uid),
            is_temporary: false,
        };
        target.write(&self.namespace).await?;
        let missing = observed("Ready", "False", MISSING.0, MISSING.1);
        let revision = json!({"revision": 1, "conditions": [missing]});
        self.report::<Certificate>("certificates-issuing", name, revision)
            .await?;
        let mut status = dates(spec, &pair.chain)?;
        let message = "Certificate is up to date and has not expired";
        status["conditions"] = json!([observed("Ready", "True", "Ready", message)]);
        self.report::<Certificate>("certificates-readiness", name, status)
            .await?;
        let none = json!({"nextPrivateKeySecretName": null});
        self.report::<Certificate>("certificates-key-manager", name, none)
            .await?;
        let secrets = self.namespace.api::<Secret>();
        secrets.delete(&next, &DeleteParams::default()).await?;
        Ok(())
    }

    /// A Certificate of `spec` whose first issuance has begun; its uid, and its Issuing and Ready
    /// conditions.
    pub(crate) async fn asked(&self, name: &str, spec: &Value) -> Result<(String, Value)> {
        let certificate = json!({
            "metadata": {"name": name, "labels": {"team": "a"}, "annotations": {"example.com/note": "b"}},
            "spec": spec,
        });
        let created = self.create::<Certificate>(USER, &certificate).await?;
        let issuing = observed("Issuing", "True", MISSING.0, MISSING.1);
        let first = json!({"conditions": [issuing]});
        self.report::<Certificate>("certificates-trigger", name, first)
            .await?;
        let both = json!([issuing, observed("Ready", "False", MISSING.0, MISSING.1)]);
        let second = json!({"conditions": both});
        self.report::<Certificate>("certificates-readiness", name, second)
            .await?;
        Ok((created.uid().context("no uid")?, both))
    }

    /// The Secret with the key of an issuance, under a random name, which the status tells.
    pub(crate) async fn next_key(&self, name: &str, uid: &str, key: &PrivateKey) -> Result<String> {
        let pem = key.to_pem(KeyEncoding::Pkcs8)?;
        let secret = json!({
            "metadata": {
                // The API server makes room for its own five letters.
                "generateName": format!("{name}-"),
                "labels": {
                    "cert-manager.io/next-private-key": "true",
                    "controller.cert-manager.io/fao": "true",
                },
                "ownerReferences": [owner("cert-manager.io/v1", "Certificate", name, uid)],
            },
            "data": {"tls.key": BASE64_STANDARD.encode(pem.as_bytes())},
            "type": "Opaque",
        });
        let created = self
            .create::<Secret>("cert-manager-certificates-key-manager", &secret)
            .await?;
        let next = created.name_any();
        let status = json!({"nextPrivateKeySecretName": next});
        self.report::<Certificate>("certificates-key-manager", name, status)
            .await?;
        Ok(next)
    }

    /// The request of a Certificate for `revision`; not approved yet.
    pub(crate) async fn request(
        &self,
        name: &str,
        revision: i64,
        spec: &Value,
        csr: &str,
        next: &str,
    ) -> Result<CertificateRequest> {
        let certificate = self.namespace.api::<Certificate>().get(name).await?;
        let uid = certificate.uid().context("no uid")?;
        let mut asked =
            json!({"issuerRef": spec["issuerRef"], "request": BASE64_STANDARD.encode(csr)});
        for field in ["duration", "isCA", "usages"] {
            if !spec[field].is_null() {
                asked[field] = spec[field].clone();
            }
        }
        // Where a webhook writes down who asks.
        asked["username"] = json!(CERT_MANAGER);
        asked["groups"] = json!(["system:serviceaccounts", "system:authenticated"]);
        let request = json!({
            "metadata": {
                "name": request_name(name, revision),
                "labels": certificate.labels(),
                "annotations": {
                    "example.com/note": "b",
                    "cert-manager.io/certificate-name": name,
                    "cert-manager.io/certificate-revision": revision.to_string(),
                    "cert-manager.io/private-key-secret-name": next,
                },
                "ownerReferences": [owner("cert-manager.io/v1", "Certificate", name, &uid)],
            },
            "spec": asked,
        });
        let manager = "cert-manager-certificates-request-manager";
        self.create::<CertificateRequest>(manager, &request).await
    }

    pub(crate) async fn approve(&self, request: &str) -> Result<Value> {
        let message = "Certificate request has been approved by cert-manager.io";
        let approved = condition("Approved", "True", "cert-manager.io", message);
        let status = json!({"conditions": [approved]});
        self.report::<CertificateRequest>("certificaterequests-approver", request, status)
            .await?;
        Ok(approved)
    }

    async fn sign_request(&self, name: &str, pair: &Pair) -> Result<()> {
        let request = request_name(name, 1);
        let approved = self.approve(&request).await?;
        let message = "Certificate fetched from issuer successfully";
        let mut status = json!({
            "certificate": BASE64_STANDARD.encode(&pair.chain),
            "conditions": [approved, condition("Ready", "True", "Issued", message)],
        });
        if let Some(ca) = &pair.ca {
            status["ca"] = json!(BASE64_STANDARD.encode(ca));
        }
        self.report::<CertificateRequest>("certificaterequests-issuer-ca", &request, status)
            .await
    }

    /// A key pair as `spec` asks for it, signed an hour ago.
    pub(crate) fn sign(&self, spec: &Value) -> Result<Pair> {
        let (key, params) = (parts::key(spec)?, parts::params(spec)?);
        let pair = parts::pair(&key)?;
        let csr = params.serialize_request(&pair)?.pem()?;
        let seconds = span(&spec["duration"]).map_or(90 * 24 * 3600, |span| span.as_secs());
        let from = OffsetDateTime::now_utc() - Duration::hours(1);
        let to = from + Duration::seconds(seconds);
        let is_own = spec["issuerRef"]["name"] == "self";
        let chain = if is_own {
            let mut params = params;
            (params.not_before, params.not_after) = (from, to);
            params.self_signed(&pair)?.pem()
        } else {
            let mut signing = CertificateSigningRequestParams::from_pem(&csr)?;
            (signing.params.not_before, signing.params.not_after) = (from, to);
            signing.signed_by(&self.ca)?.pem()
        };
        let ca = match spec["issuerRef"]["name"].as_str() {
            Some("self") => Some(chain.clone()),
            Some("ca") => Some(self.ca_pem.clone()),
            _ => None,
        };
        Ok(Pair {
            key,
            csr,
            chain,
            ca,
        })
    }

    /// All that there is of a Certificate now.
    pub(crate) async fn exhibit(&self, name: &str, owner_reference: bool) -> Result<Exhibit> {
        let certificate = self.namespace.api::<Certificate>().get(name).await?;
        let uid = certificate.uid();
        let controls =
            |owners: &[OwnerReference]| owners.iter().any(|owner| Some(&owner.uid) == uid.as_ref());
        let requests = self.namespace.api::<CertificateRequest>();
        let requests = requests.list(&ListParams::default()).await?;
        let marked = ListParams::default().labels("cert-manager.io/next-private-key=true");
        let keys = self.namespace.api::<Secret>().list(&marked).await?;
        let secrets = self.namespace.api::<Secret>();
        let secret = secrets.get_opt(&certificate.spec.secret_name).await?;
        Ok(Exhibit {
            secret,
            requests: requests
                .iter()
                .filter(|request| controls(request.owner_references()))
                .map(serde_json::to_value)
                .collect::<Result<_, _>>()?,
            next_keys: keys
                .iter()
                .filter(|key| controls(key.owner_references()))
                .count(),
            certificate: serde_json::to_value(certificate)?,
            owner_reference,
        })
    }

    /// Creates an object as `manager`.
    pub(crate) async fn create<K>(&self, manager: &str, object: &Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let mut object = object.clone();
        object["apiVersion"] = json!(K::api_version(&()));
        object["kind"] = json!(K::kind(&()));
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let api: Api<K> = self.namespace.api();
        Ok(api
            .create(&params, &serde_json::from_value(object)?)
            .await?)
    }

    /// Writes to the status of an object as that controller of cert-manager.
    pub(crate) async fn report<K>(&self, controller: &str, name: &str, status: Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let params = PatchParams {
            field_manager: Some(format!("cert-manager-{controller}")),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"status": status}));
        let api: Api<K> = self.namespace.api();
        api.patch_status(name, &params, &patch).await?;
        Ok(())
    }
}
