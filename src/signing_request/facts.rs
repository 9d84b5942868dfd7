//! What is kept of a CertificateSigningRequest.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    ByteString,
    api::certificates::v1::{
        CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
    },
};

use crate::{
    api::{
        names::{TRUE, signing_request as annotation},
        reference::IssuerAddress,
        usage::{KeyUsage, UnknownUsage},
    },
    cluster::{Facts, Meta, ObjectKey},
    issuer::IssuerKind,
    pki::csr::CsrFacts,
    signing_request::signer_name::SignerName,
};

/// A CertificateSigningRequest. Clusters have many, of kubelets for example, and most are over.
#[derive(Clone, Debug)]
pub struct SigningRequestFacts {
    /// Name and versions.
    pub meta: Meta,
    /// What is asked for; nothing once the request is over, or when another signer is meant.
    pub asked: Option<Asked>,
    /// The status, without the certificate.
    pub status: CertificateSigningRequestStatus,
}

/// What a CertificateSigningRequest asks for, and who does.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The issuer.
    pub signer: SignerName,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Who made the request, by the API server's word.
    pub requester: Requester,
    /// `spec.expirationSeconds`.
    pub expiration_seconds: Option<i32>,
    /// What the key may be used for.
    pub usages: Result<Vec<KeyUsage>, UnknownUsage>,
    /// What the signing request says, or why it cannot be read.
    pub csr: Result<CsrFacts, String>,
    /// The signing request as PEM.
    pub request: ByteString,
}

/// Who made a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// `spec.username`.
    pub username: Option<String>,
    /// `spec.uid`.
    pub uid: Option<String>,
    /// `spec.groups`.
    pub groups: Option<Vec<String>>,
    /// `spec.extra`.
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

/// How CertificateSigningRequests that are not over are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SigningRequestIndex {
    /// By its own uid: what it owns names it so.
    Uid(String),
    /// By the issuer.
    Issuer(IssuerAddress),
    /// By the Secret that they say holds their key. The namespace is the Issuer's; that of a
    /// ClusterIssuer's Secrets is a setting, and left empty here.
    Key(ObjectKey),
}

/// Types of conditions; each is there or not, and never False.
mod condition {
    pub(super) const APPROVED: &str = "Approved";
    pub(super) const DENIED: &str = "Denied";
    pub(super) const FAILED: &str = "Failed";
}

impl Facts for SigningRequestFacts {
    type Object = CertificateSigningRequest;
    type Index = SigningRequestIndex;

    fn reduce(object: CertificateSigningRequest) -> Self {
        let CertificateSigningRequest {
            metadata,
            spec,
            status,
        } = object;
        let mut status = status.unwrap_or_default();
        let certificate = status.certificate.take();
        let is_issued = certificate.is_some_and(|pem| !pem.0.is_empty());
        let meta = Meta::of(&metadata);
        let mut facts = Self {
            meta,
            asked: None,
            status,
        };
        if is_issued || facts.has(condition::DENIED) || facts.has(condition::FAILED) {
            return facts;
        }
        let CertificateSigningRequestSpec {
            expiration_seconds,
            extra,
            groups,
            request,
            signer_name,
            uid,
            usages,
            username,
        } = spec;
        let usages = usages.iter().flatten().map(|usage| usage.parse());
        facts.asked = SignerName::parse(&signer_name).map(|signer| Asked {
            signer,
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            requester: Requester {
                username,
                uid,
                groups,
                extra,
            },
            expiration_seconds,
            usages: usages.collect(),
            csr: CsrFacts::from_pem(&request.0).map_err(|error| error.to_string()),
            request,
        });
        facts
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<SigningRequestIndex> {
        let Some(asked) = &self.asked else {
            return Vec::new();
        };
        let mut indexes = vec![
            SigningRequestIndex::Uid(self.meta.uid.clone()),
            SigningRequestIndex::Issuer(asked.signer.address()),
        ];
        if let Some(name) = asked.key_secret() {
            let namespace = match asked.signer.kind {
                IssuerKind::Issuer => Arc::clone(&asked.signer.key.namespace),
                IssuerKind::ClusterIssuer => "".into(),
            };
            indexes.push(SigningRequestIndex::Key(ObjectKey::new(namespace, name)));
        }
        indexes
    }
}

impl SigningRequestFacts {
    /// The type of the condition that says that a request failed for good.
    pub const FAILED: &'static str = condition::FAILED;

    /// Whether `object` is for an issuer of ours; others are not kept at all.
    pub fn is_ours(object: &CertificateSigningRequest) -> bool {
        SignerName::parse(&object.spec.signer_name).is_some()
    }

    /// Whether somebody has approved it.
    pub fn is_approved(&self) -> bool {
        self.has(condition::APPROVED)
    }

    fn has(&self, type_: &str) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == type_)
    }
}

impl Asked {
    /// Whether a CA certificate is asked for.
    pub fn is_ca(&self) -> bool {
        let asked = self.annotations.get(annotation::IS_CA);
        asked.is_some_and(|asked| asked == TRUE)
    }

    /// The Secret of the private key, for an issuer that has none.
    fn key_secret(&self) -> Option<&str> {
        let name = self.annotations.get(annotation::PRIVATE_KEY_SECRET_NAME);
        name.map(String::as_str).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reduced(signer: &str, status: Value) -> SigningRequestFacts {
        let object = serde_json::from_value(json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {
                "name": "www", "uid": "u",
                "annotations": {annotation::PRIVATE_KEY_SECRET_NAME: "key"},
            },
            "spec": {"signerName": signer, "request": "YQ==", "usages": ["any", "s/mime"]},
            "status": status,
        }));
        SigningRequestFacts::reduce(object.unwrap())
    }

    #[test]
    fn nothing_is_kept_of_what_is_over_or_of_others() {
        let condition = |type_: &str| json!({"conditions": [{"type": type_, "status": "True"}]});
        let ours = "issuers.cert-manager.io/web.le";
        let table = [
            (ours, json!({}), true),
            (ours, condition("Approved"), true),
            (ours, json!({"certificate": ""}), true),
            (ours, json!({"certificate": "YQ=="}), false),
            (ours, condition("Denied"), false),
            (ours, condition("Failed"), false),
            ("kubernetes.io/kubelet-serving", json!({}), false),
        ];
        for (signer, status, kept) in table {
            let facts = reduced(signer, status.clone());
            assert_eq!(facts.asked.is_some(), kept, "{signer} {status}");
            assert_eq!(!facts.indexes().is_empty(), kept);
            assert_eq!(facts.status.certificate, None);
        }
    }

    #[test]
    fn the_key_is_where_the_issuer_has_its_secrets() {
        let usages = vec![KeyUsage::Any, KeyUsage::Smime];
        for (signer, key) in [
            (
                "issuers.cert-manager.io/web.le",
                ObjectKey::new("web", "key"),
            ),
            (
                "clusterissuers.cert-manager.io/le",
                ObjectKey::cluster("key"),
            ),
        ] {
            let facts = reduced(signer, json!({}));
            let indexes = facts.indexes();
            assert!(
                indexes.contains(&SigningRequestIndex::Key(key)),
                "{indexes:?}"
            );
            assert!(indexes.contains(&SigningRequestIndex::Uid("u".into())));
            assert_eq!(facts.asked.unwrap().usages, Ok(usages.clone()));
        }
    }
}
