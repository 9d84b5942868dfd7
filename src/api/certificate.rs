//! What does a user ask for with a Certificate, and what does it answer?

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::deletion::DeletionPolicy;
use super::duration::Duration;
use super::reference::IssuerRef;

pub use super::keystore::{
    AdditionalOutputFormat, JksKeystore, Keystores, OutputFormat, Pkcs12Keystore, Pkcs12Profile,
};
pub use super::private_key::{
    PrivateKey, PrivateKeyAlgorithm, PrivateKeyEncoding, RotationPolicy, SignatureAlgorithm,
};
pub use super::renewal::{Renewal, RenewalPolicy, RenewalWindow};
pub use super::subject::{NameConstraintItem, NameConstraints, OtherName, Subject};
pub use super::usage::KeyUsage;

/// What certificate is wanted, from whom, and in which Secret it is kept.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Certificate",
    plural = "certificates",
    singular = "certificate",
    shortname = "cert",
    shortname = "certs",
    category = "cert-manager",
    namespaced,
    status = "CertificateStatus",
    derive = "PartialEq",
    doc = "A certificate to be issued, kept in a Secret with its private key, and renewed in time.",
    selectable = ".spec.issuerRef.group",
    selectable = ".spec.issuerRef.kind",
    selectable = ".spec.issuerRef.name",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"}"#,
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name", "priority": 1}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].message", "priority": 1}"#,
    printcolumn = r#"{"name": "Expiration", "type": "string", "jsonPath": ".status.notAfter", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// Further forms of key and certificate in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_output_formats: Option<Vec<AdditionalOutputFormat>>,
    /// Common name of the subject, at most 64 characters. Clients look at dnsNames and ipAddresses;
    /// set it only where something old needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// What becomes of the certificate and its Secret once this object is gone. Absent means what
    /// the issuer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// DNS names of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_names: Option<Vec<String>>,
    /// Lifetime to ask for, at least 1h. Absent means 2160h (90 days). The issuer may give another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// E-mail addresses of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_addresses: Option<Vec<String>>,
    /// Whether the usages are also written into the certificate request. Absent means true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_usages_in_request: Option<bool>,
    /// IP addresses of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_addresses: Option<Vec<String>>,
    /// Whether the certificate may sign other certificates.
    #[serde(rename = "isCA", skip_serializing_if = "Option::is_none")]
    pub is_ca: Option<bool>,
    /// Who issues the certificate.
    pub issuer_ref: IssuerRef,
    /// Java and PKCS#12 key stores to keep in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keystores: Option<Keystores>,
    /// Whole subject as RFC 4514 text, where order or attributes matter. Excludes commonName and
    /// subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal_subject: Option<String>,
    /// Names that this certificate may sign for; only with isCA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_constraints: Option<NameConstraints>,
    /// Subject alternative names of other kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_names: Option<Vec<OtherName>>,
    /// The private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// How long before expiry it is renewed, at least 5m. Absent means a third of the lifetime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// As renewBefore, as a percentage of the lifetime (1 to 99). Excludes renewBefore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// When the certificate is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// How many CertificateRequests are kept, at least 1. Absent means 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Secret that holds the certificate and its key, in the namespace of the Certificate. It is
    /// made when missing.
    pub secret_name: String,
    /// Labels and annotations of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,
    /// How the certificate request is signed. Absent means what fits the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_algorithm: Option<SignatureAlgorithm>,
    /// Subject, apart from the common name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// URIs of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uris: Option<Vec<String>>,
    /// What the key may be used for. Absent means digital signature and key encipherment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usages: Option<Vec<KeyUsage>>,
}

/// Labels and annotations of the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Annotations to keep on the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels to keep on the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// What is known of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// What the ACME server said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<CertificateAcmeStatus>,
    /// State of the certificate: Ready, Issuing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// How many issuances failed since one succeeded. The wait between tries grows with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::integer")]
    pub failed_issuance_attempts: Option<i64>,
    /// When an issuance last failed. Absent once one succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// Secret that holds the private key of the issuance under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_private_key_secret_name: Option<String>,
    /// When the certificate in the Secret expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// From when the certificate in the Secret is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When the certificate is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// How many times the certificate was issued. The next CertificateRequest carries one more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::integer")]
    pub revision: Option<i64>,
}

/// What the ACME server said about the certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAcmeStatus {
    /// Renewal information (RFC 9773).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ari: Option<AriStatus>,
}

/// Renewal information of the ACME server (RFC 9773).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AriStatus {
    /// Page on which the server explains the window.
    #[serde(rename = "explanationURL", skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
    /// When the server was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checked: Option<Time>,
    /// Why the server last gave no answer. Absent when it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the server is asked next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_check: Option<Time>,
    /// Time in which the server wants the certificate to be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested_window: Option<RenewalInformationWindow>,
}

/// Time in which the server wants the certificate to be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalInformationWindow {
    /// End of the window.
    pub end: Time,
    /// Start of the window.
    pub start: Time,
}
