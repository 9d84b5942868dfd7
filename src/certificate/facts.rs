//! Which facts is a decision about a Certificate made from?

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        certificate::{Certificate, CertificateSpec, CertificateStatus},
        condition::{self, Condition, kind},
        names::{annotation, field_manager},
        reference::IssuerAddress,
    },
    certificate::{
        basis::Anew,
        failure::Failure,
        issued::Issued,
        keystores::{self, Source, Standing},
        reuse::Reuse,
        secret::{ChainHash, KeyFacts, SecretFacts},
        suggestion,
    },
    cluster::{Facts, Meta, ObjectKey},
    issuer::rotation::Turn,
    pki::signed_by::Fingerprint,
    request::facts::RequestFacts,
    retire::{
        asker,
        record::{Recording, Withdrawal},
    },
};

/// What is kept of a Certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.labels`; copied to the request.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations` but for the one that kubectl keeps the whole object in.
    pub annotations: BTreeMap<String, String>,
    /// The field manager of the annotation that asks for a revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_manager: Option<String>,
    /// What is asked for.
    pub spec: CertificateSpec,
    /// What was answered.
    pub status: CertificateStatus,
    /// Whether what it keeps was issued here: then we have written its revision, and not cert-manager.
    pub is_issued_here: bool,
}

/// How Certificates are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateIndex {
    /// By its own uid: what it owns names it so.
    Uid(String),
    /// By the Secret that it keeps its key pair in.
    Secret(ObjectKey),
    /// By a Secret with the password of a key store.
    Password(ObjectKey),
    /// By the issuer.
    Issuer(IssuerAddress),
}

impl Facts for CertificateFacts {
    type Object = Certificate;
    type Index = CertificateIndex;

    fn reduce(certificate: Certificate) -> Self {
        let Certificate {
            metadata,
            spec,
            status,
        } = certificate;
        let meta = Meta::of(&metadata);
        let is_issued_here = is_issued_here(metadata.managed_fields.as_deref());
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.remove(annotation::LAST_APPLIED);
        let asks = annotations.contains_key(annotation::REVOKE);
        let entries = metadata.managed_fields.filter(|_| asks);
        Self {
            meta,
            labels: metadata.labels.unwrap_or_default(),
            annotations,
            revoke_manager: entries.and_then(|entries| asker::manager(&entries)),
            spec,
            status: status.unwrap_or_default(),
            is_issued_here,
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<CertificateIndex> {
        let mut indexes = vec![
            CertificateIndex::Uid(self.meta.uid.clone()),
            CertificateIndex::Secret(self.secret()),
            CertificateIndex::Issuer(self.spec.issuer_ref.address(&self.meta.key.namespace)),
        ];
        for wanted in keystores::wanted(&self.spec) {
            if let Source::Secret(selector) = wanted.password {
                let password =
                    ObjectKey::new(Arc::clone(&self.meta.key.namespace), selector.name.as_str());
                indexes.push(CertificateIndex::Password(password));
            }
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

impl CertificateFacts {
    /// The Secret that it keeps its key pair in.
    pub fn secret(&self) -> ObjectKey {
        ObjectKey::new(
            Arc::clone(&self.meta.key.namespace),
            self.spec.secret_name.as_str(),
        )
    }

    /// The revision of the key pair in the Secret; none before the first issuance.
    pub fn revision(&self) -> Option<i64> {
        self.status.revision
    }

    /// The revision that the next issuance makes.
    pub fn next_revision(&self) -> i64 {
        self.status.revision.unwrap_or(0).saturating_add(1)
    }

    /// The condition of that type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        condition::find(self.status.conditions.as_ref(), type_)
    }

    /// Whether an issuance is under way.
    pub fn is_issuing(&self) -> bool {
        condition::is_true(self.status.conditions.as_ref(), kind::ISSUING)
    }
}

/// Whether `status.revision` is of our own writing.
fn is_issued_here(entries: Option<&[ManagedFieldsEntry]>) -> bool {
    let mut ours = entries.into_iter().flatten().filter(|entry| {
        entry.manager.as_deref() == Some(field_manager::CERTWRIGHT)
            && entry.subresource.as_deref() == Some("status")
    });
    ours.any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| fields["f:status"].get("f:revision").is_some())
    })
}

/// How certificates are kept, as the operator was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The wait after the first failed issuance.
    pub backoff_min: SignedDuration,
    /// The longest wait after failed issuances.
    pub backoff_max: SignedDuration,
    /// Whether signing requests carry BasicConstraints.
    pub basic_constraints_in_csr: bool,
    /// Whether the Secret has the Certificate as its owner, and goes with it.
    pub owner_reference: bool,
    /// Which annotations of a Certificate its requests get, see
    /// [`request::copied_annotations`](crate::certificate::request::copied_annotations).
    pub copied_annotation_prefixes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff_min: SignedDuration::from_hours(1),
            backoff_max: SignedDuration::from_hours(32),
            basic_constraints_in_csr: false,
            owner_reference: false,
            copied_annotation_prefixes: [
                "*",
                "-kubectl.kubernetes.io/",
                "-fluxcd.io/",
                "-argocd.argoproj.io/",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

/// Everything a decision about one Certificate is made from.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The Certificate.
    pub certificate: Arc<CertificateFacts>,
    /// The Secret that it keeps its key pair in; `None` when there is none.
    pub secret: Option<Arc<SecretFacts>>,
    /// The CertificateRequests that it controls.
    pub requests: Vec<Arc<RequestFacts>>,
    /// The Secrets with the key of an issuance under way that it controls.
    pub keys: Vec<Arc<SecretFacts>>,
    /// The key of an issuance under way that is stored nowhere.
    pub held: Option<Held>,
    /// What is there already that may be used again.
    pub reuse: Reuse,
    /// Whether a request that is made now is approved and signed here, without waiting.
    pub answers_at_once: bool,
    /// All Certificates that name the same Secret, it among them.
    pub sharing: Vec<Arc<CertificateFacts>>,
    /// Names that would be used next but belong to somebody else.
    pub taken: Taken,
    /// Why the request for the next revision cannot be made, once that was tried.
    pub unrequestable: Option<String>,
    /// What was issued for the next revision, once the request says so.
    pub issued: Option<Arc<Issued>>,
    /// Whether it is written down, where it has to be.
    pub recording: Recording,
    /// What became of the certificate in the Secret, and of the keys.
    pub withdrawal: Withdrawal,
    /// What the request for the next revision waits for, in one line.
    pub cause: Option<String>,
    /// What kind of failure that of the request for the next revision is, if it failed.
    pub failure: Failure,
    /// What has changed since that request was made that a new one may go well for.
    pub anew: Option<Anew>,
    /// The name that DNS says something else of since it failed.
    pub dns_changed: Option<String>,
    /// Whether the issuer is asked when to renew.
    pub source: suggestion::Source,
    /// What it may do as the CA of its issuer changed.
    pub turn: Turn,
    /// Our own last write of the Secret, since the start of the process.
    pub written: Option<Write>,
    /// How the key stores in the Secret are.
    pub keystores: Standing,
    /// Now.
    pub now: Timestamp,
    /// How certificates are kept.
    pub settings: Arc<Settings>,
}

impl Situation {
    /// Whether no issuance is under way, and none failed.
    pub fn is_settled(&self) -> bool {
        let certificate = &self.certificate;
        !certificate.is_issuing() && certificate.status.last_failure_time.is_none()
    }
}

/// A key that is at hand and stored nowhere: a crash loses it, and what was made with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The Secret that would hold it.
    pub name: String,
    /// The key.
    pub key: KeyFacts,
    /// Since when: the issuance began then.
    pub since: Timestamp,
    /// The certificate that it is of, where one is used again.
    pub reused: Option<Arc<Reused>>,
}

/// A certificate that is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reused {
    /// Its record.
    pub issuance: ObjectKey,
    /// The Secret that it was read from.
    pub secret: ObjectKey,
    /// Its serial, in hexadecimal.
    pub serial: String,
    /// Leaf and intermediates, PEM.
    pub chain_pem: Vec<u8>,
    /// The CA, PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// A write of the Secret of a Certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The version of the Secret that it made.
    pub version: String,
    /// The generation of the Certificate that it was made for.
    pub generation: i64,
    /// What it put into `tls.crt`.
    pub chain: ChainHash,
    /// What it put into `ca.crt`.
    pub roots: Roots,
}

/// The certificates in a `ca.crt`, to be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots(u64);

impl From<&[Fingerprint]> for Roots {
    fn from(roots: &[Fingerprint]) -> Self {
        let mut hasher = DefaultHasher::new();
        roots.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Write {
    /// Whether nothing changed `secret` since.
    pub fn stands(&self, secret: &SecretFacts) -> bool {
        self.version == secret.meta.resource_version
    }

    /// Whether nothing changed `secret` since, and `certificate` asks for the same.
    pub fn is_of(&self, certificate: &CertificateFacts, secret: &SecretFacts) -> bool {
        self.stands(secret) && self.generation == certificate.meta.generation
    }

    /// Whether `ca.crt` of `secret` has what was put there.
    pub fn kept_roots(&self, secret: &SecretFacts) -> bool {
        self.roots == Roots::from(secret.roots.as_slice())
    }
}

/// Names of objects that are not ours: never adopted, as somebody may have planted them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// A Secret has the name of the next key.
    pub key: bool,
    /// A CertificateRequest has the name of the next request.
    pub request: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn who_wrote_the_revision_has_issued() {
        let entry = |manager: &str, subresource: Value, fields: Value| json!({"manager": manager, "subresource": subresource, "fieldsV1": fields});
        let revision = json!({"f:status": {"f:revision": {}, "f:conditions": {}}});
        let conditions = json!({"f:status": {"f:conditions": {}}});
        let status = json!("status");
        let cert_manager = entry(
            "cert-manager-certificates-issuing",
            status.clone(),
            revision.clone(),
        );
        let table = [
            (json!([]), false),
            (json!([cert_manager]), false),
            (
                json!([entry("certwright", status.clone(), revision.clone())]),
                true,
            ),
            (
                json!([cert_manager, entry("certwright", status, conditions)]),
                false,
            ),
            (json!([entry("certwright", json!(null), revision)]), false),
            (
                json!([entry("certwright", json!("status"), json!(null))]),
                false,
            ),
        ];
        for (entries, want) in table {
            let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(entries).unwrap();
            assert_eq!(is_issued_here(Some(&entries)), want, "{entries:?}");
        }
        assert!(!is_issued_here(None));
    }
}
