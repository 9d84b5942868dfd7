//! Which certificate was issued, for whom, and what became of it? One record each, in the operator's
//! namespace, where tenants cannot write.

use std::fmt;

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    deletion::{DeletionPolicy, RevocationReason},
    reference::IssuerRef,
};

/// The certificate, and for whom it was issued.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "certwright.io",
    version = "v1alpha1",
    kind = "Issuance",
    plural = "issuances",
    singular = "issuance",
    category = "cert-manager",
    namespaced,
    status = "IssuanceStatus",
    derive = "PartialEq",
    doc = "One certificate that was issued, and what became of it. Made by the operator before the certificate is stored, kept until some time after it has expired.",
    selectable = ".spec.certificateRef.namespace",
    selectable = ".spec.certificateRef.name",
    selectable = ".spec.serial",
    printcolumn = r#"{"name": "For", "type": "string", "jsonPath": ".spec.certificateRef.namespace"}"#,
    printcolumn = r#"{"name": "Certificate", "type": "string", "jsonPath": ".spec.certificateRef.name"}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.revocation.reason"}"#,
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name"}"#,
    printcolumn = r#"{"name": "Expiration", "type": "string", "jsonPath": ".spec.notAfter"}"#,
    printcolumn = r#"{"name": "Names", "type": "string", "jsonPath": ".spec.names", "priority": 1}"#,
    printcolumn = r#"{"name": "Serial", "type": "string", "jsonPath": ".spec.serial", "priority": 1}"#,
    printcolumn = r#"{"name": "Policy", "type": "string", "jsonPath": ".spec.deletionPolicy", "priority": 1}"#,
    printcolumn = r#"{"name": "Revoked", "type": "date", "jsonPath": ".status.revocation.time", "priority": 1}"#,
    printcolumn = r#"{"name": "By", "type": "string", "jsonPath": ".status.revocation.by", "priority": 1}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct IssuanceSpec {
    /// The account that ordered it, and how its CA is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeOrigin>,
    /// Other Secrets of the namespace that hold it too, and for whom: what was issued once is used
    /// again for whoever asks for exactly the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also_in: Option<Vec<Share>>,
    /// A hash of what was asked for. A Certificate of the namespace that asks for exactly the same
    /// may have this one, too. Absent where that is not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<String>,
    /// The certificate, DER.
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub certificate: ByteString,
    /// The Certificate that it is for.
    pub certificate_ref: CertificateRef,
    /// uid of the namespace kube-system: records that came from another cluster are left alone.
    pub cluster: String,
    /// What is to become of it once its Certificate is gone: as the Certificate says, else its
    /// issuer, else the operator. Once the Certificate is gone, it may be changed here.
    pub deletion_policy: DeletionPolicy,
    /// The value that the annotation certwright.io/revoke of the Certificate had when this was
    /// issued: it asked for the revocation of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier_request: Option<String>,
    /// Who issued it.
    pub issuer_ref: IssuerRef,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it expires.
    pub not_after: Time,
    /// From when it is valid.
    pub not_before: Time,
    /// SHA-256 of its public key, in hexadecimal.
    pub public_key: String,
    /// `false`: there is nobody to tell that it is revoked, as it signed itself, or its CA publishes no
    /// list. Policy Revoke is Delete then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocable: Option<bool>,
    /// The Secret that holds it, in the namespace of the Certificate.
    pub secret_name: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
}

/// A Certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Since when it is the one that keeps the certificate.
    pub since: Time,
    /// Its uid.
    pub uid: String,
}

/// Another Secret that holds a certificate, and the Certificate that it is there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The Certificate.
    pub certificate_ref: CertificateRef,
    /// What is to become of the Secret once that is gone.
    pub deletion_policy: DeletionPolicy,
    /// Since when that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_since: Option<Time>,
    /// Name of the Secret.
    pub secret_name: String,
}

/// The account that ordered a certificate, and how its CA is reached: what revoking needs, also when
/// the issuer is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeOrigin {
    /// Where the account key is.
    pub account_key: KeyPlace,
    /// URL of the account.
    #[serde(rename = "accountURL")]
    pub account_url: String,
    /// Whose word the server's certificate is believed on, where the issuer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub ca_bundle: Option<ByteString>,
    /// URL of the directory.
    pub server: String,
    /// Whether the server's certificate is not checked.
    #[serde(rename = "skipTLSVerify", skip_serializing_if = "Option::is_none")]
    pub skip_tls_verify: Option<bool>,
}

/// An entry of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyPlace {
    /// The entry.
    pub key: String,
    /// Name of the Secret.
    pub name: String,
    /// Namespace of the Secret.
    pub namespace: String,
}

/// What became of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuanceStatus {
    /// Why the state is what it is, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When revoking is tried again, after it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
    /// Since when no Certificate keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_since: Option<Time>,
    /// Who asked for its revocation, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// In one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<IssuanceState>,
    /// How often revoking failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<i32>,
    /// Since when nothing is done about it, as its Certificate may have gone while another program,
    /// such as cert-manager, worked in the operator's place: somebody has to confirm it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unattended_since: Option<Time>,
}

/// What became of a certificate, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IssuanceState {
    /// A Certificate keeps it.
    Active,
    /// Another has taken its place.
    Superseded,
    /// Its Certificate is gone.
    Orphaned,
    /// Its Certificate is gone, and something speaks against what would follow.
    Held,
    /// It is being revoked.
    Revoking,
    /// It is revoked.
    Revoked,
    /// It cannot be revoked.
    Unrevocable,
    /// Its Certificate is gone, and its Secret too. It was not revoked.
    Deleted,
    /// It has expired.
    Expired,
}

impl IssuanceState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Active,
        Self::Superseded,
        Self::Orphaned,
        Self::Held,
        Self::Revoking,
        Self::Revoked,
        Self::Unrevocable,
        Self::Deleted,
        Self::Expired,
    ];

    /// As in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Superseded => "Superseded",
            Self::Orphaned => "Orphaned",
            Self::Held => "Held",
            Self::Revoking => "Revoking",
            Self::Revoked => "Revoked",
            Self::Unrevocable => "Unrevocable",
            Self::Deleted => "Deleted",
            Self::Expired => "Expired",
        }
    }

    /// Whether nothing more is done at the CA.
    pub fn is_final(self) -> bool {
        match self {
            Self::Revoked | Self::Unrevocable | Self::Expired => true,
            // Who comes back with its Secret keeps what is there.
            Self::Active
            | Self::Superseded
            | Self::Orphaned
            | Self::Held
            | Self::Revoking
            | Self::Deleted => false,
        }
    }
}

impl fmt::Display for IssuanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who asked for a revocation, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Who: the deletion of a Certificate, or an annotation.
    pub by: String,
    /// Why.
    pub reason: RevocationReason,
    /// When.
    pub time: Time,
}

/// A revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: RevocationReason,
    /// Which key signed for it: that of the account, of the certificate, or of the CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// When the CA confirmed it.
    pub time: Time,
}
