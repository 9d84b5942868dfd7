//! What is kept of a CertificateRequest.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        condition::{self, ConditionStatus, RequestCondition, kind},
        duration::Duration,
        names::{annotation, field_manager},
        reason::request as reason,
        reference::{IssuerAddress, IssuerRef},
        request::{CertificateRequest, CertificateRequestSpec, CertificateRequestStatus},
        usage::KeyUsage,
    },
    cluster::{Facts, Meta, ObjectKey, OwnerKey},
    pki::csr::CsrFacts,
};

/// A CertificateRequest, its signing request parsed once, its blobs let go when it is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestFacts {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// The issuer, as it was written.
    pub issuer_ref: IssuerRef,
    /// The lifetime asked for.
    pub duration: Option<Duration>,
    /// Whether a CA certificate is asked for.
    pub is_ca: Option<bool>,
    /// What the key may be used for.
    pub usages: Option<Vec<KeyUsage>>,
    /// What the signing request says, or why it cannot be read.
    pub csr: Result<CsrFacts, String>,
    /// The signing request as PEM, until the request is over.
    pub request: ByteString,
    /// The status, without certificate and CA.
    pub status: CertificateRequestStatus,
    /// Whether we made it, and not cert-manager or a person.
    pub is_own: bool,
    /// Whether `status.certificate` is set.
    pub has_certificate: bool,
}

/// How CertificateRequests are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestIndex {
    /// By its own uid: what it owns names it so.
    Uid(String),
    /// By the controller owner.
    Owner(OwnerKey),
    /// By the issuer, of those that are not over.
    Issuer(IssuerAddress),
    /// By the Secret that they say holds their key, of those that are not over.
    Key(ObjectKey),
}

impl Facts for RequestFacts {
    type Object = CertificateRequest;
    type Index = RequestIndex;

    fn reduce(object: CertificateRequest) -> Self {
        let CertificateRequest {
            metadata,
            spec,
            status,
        } = object;
        // The requester's identity is checked by the API server's policies, and decides nothing here.
        let CertificateRequestSpec {
            duration,
            extra: _,
            groups: _,
            is_ca,
            issuer_ref,
            request,
            uid: _,
            usages,
            username: _,
        } = spec;
        let mut status = status.unwrap_or_default();
        let has_certificate = status
            .certificate
            .take()
            .is_some_and(|pem| !pem.0.is_empty());
        status.ca = None;
        let is_own = metadata.managed_fields.iter().flatten().any(|entry| {
            entry.manager.as_deref() == Some(field_manager::CERTWRIGHT)
                && entry.subresource.is_none()
        });
        let mut facts = Self {
            is_own,
            meta: Meta::of(&metadata),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            issuer_ref,
            duration,
            is_ca,
            usages,
            csr: CsrFacts::from_pem(&request.0).map_err(|error| error.to_string()),
            request,
            status,
            has_certificate,
        };
        if facts.is_over() {
            facts.request = ByteString(Vec::new());
        }
        facts
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<RequestIndex> {
        let mut indexes = vec![RequestIndex::Uid(self.meta.uid.clone())];
        indexes.extend(self.meta.owner().map(RequestIndex::Owner));
        if !self.is_over() {
            let issuer = self.issuer_ref.address(&self.meta.key.namespace);
            indexes.push(RequestIndex::Issuer(issuer));
            let key = self.annotations.get(annotation::PRIVATE_KEY_SECRET_NAME);
            indexes.extend(key.map(|name| {
                let namespace = Arc::clone(&self.meta.key.namespace);
                RequestIndex::Key(ObjectKey::new(namespace, name.as_str()))
            }));
        }
        indexes
    }

    fn pack(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    fn unpack(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl RequestFacts {
    /// The condition of that type.
    pub fn condition(&self, type_: &str) -> Option<&RequestCondition> {
        condition::find(self.status.conditions.as_ref(), type_)
    }

    /// Whether the condition of that type holds.
    pub fn is_true(&self, type_: &str) -> bool {
        condition::is_true(self.status.conditions.as_ref(), type_)
    }

    /// Whether nothing will follow: issued, failed, denied or found invalid.
    pub fn is_over(&self) -> bool {
        if self.is_true(kind::INVALID_REQUEST) {
            return true;
        }
        let Some(ready) = self.condition(kind::READY) else {
            return false;
        };
        match ready.reason.as_deref() {
            Some(reason::FAILED | reason::DENIED) => true,
            Some(reason::ISSUED) => self.has_certificate,
            _ => ready.status == ConditionStatus::True && self.has_certificate,
        }
    }

    /// Whether it is answered with a certificate that is there already, by who works on its
    /// Certificate: nothing is ordered for it.
    pub fn is_reuse(&self) -> bool {
        self.is_own && self.annotations.contains_key(annotation::REUSED_ISSUANCE)
    }

    /// The revision of the Certificate that this request is for, if it says a number.
    pub fn revision(&self) -> Option<i64> {
        self.annotations
            .get(annotation::CERTIFICATE_REVISION)?
            .parse()
            .ok()
    }
}
