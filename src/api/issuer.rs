//! Who issues certificates, and is it ready to?

use std::ops::{Deref, DerefMut};

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acme::{AcmeIssuer, AcmeIssuerStatus};
use super::condition::Condition;
use super::deletion::DeletionPolicy;
use super::duration::Duration;
use super::vault::VaultIssuer;
use super::venafi::VenafiIssuer;

/// Who signs: exactly one of the fields is set.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Issuer",
    plural = "issuers",
    singular = "issuer",
    shortname = "iss",
    category = "cert-manager",
    namespaced,
    status = "IssuerStatus",
    derive = "PartialEq",
    doc = "Issues certificates to the Certificates of its namespace.",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].message", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct IssuerSpec {
    /// A CA that speaks ACME (RFC 8555), for instance Let's Encrypt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeIssuer>,
    /// A CA whose certificate and key are in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaIssuer>,
    /// What becomes of certificates and their Secrets once their Certificate is gone, where that
    /// does not say. Absent means the operator's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Each certificate is signed with its own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<SelfSignedIssuer>,
    /// HashiCorp Vault or OpenBao.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultIssuer>,
    /// Venafi, now CyberArk Certificate Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub venafi: Option<VenafiIssuer>,
}

/// A CA whose certificate and key are in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaIssuer {
    /// Publish a list of the certificates that were revoked (CRL). Those that are issued from then on
    /// have a record, and can be revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<RevocationListSpec>,
    /// URLs of the revocation list, written into every certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_distribution_points: Option<Vec<String>>,
    /// URLs of the CA's own certificate, written into every certificate.
    #[serde(
        rename = "issuingCertificateURLs",
        skip_serializing_if = "Option::is_none"
    )]
    pub issuing_certificate_urls: Option<Vec<String>>,
    /// URLs of OCSP servers, written into every certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp_servers: Option<Vec<String>>,
    /// Secret with `tls.crt` and `tls.key` of the CA, in the namespace of the Issuer; for a
    /// ClusterIssuer in the cluster resource namespace.
    pub secret_name: String,
}

/// The list of revoked certificates that a CA publishes, in a ConfigMap NAME-crl and by the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevocationListSpec {
    /// Where clients get the list, written into every certificate beside crlDistributionPoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How long a list is good for; the next one is there when two thirds are over. At least 1h;
    /// 168h unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validity: Option<Duration>,
}

/// Each certificate is signed with its own key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfSignedIssuer {
    /// URLs of the revocation list, written into every certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl_distribution_points: Option<Vec<String>>,
}

/// Whether the issuer is ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerStatus {
    /// The account at the ACME server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeIssuerStatus>,
    /// State of the issuer: Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// Who signs, for every namespace: exactly one of the fields is set.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "ClusterIssuer",
    plural = "clusterissuers",
    singular = "clusterissuer",
    shortname = "ciss",
    category = "cert-manager",
    status = "IssuerStatus",
    derive = "PartialEq",
    doc = "Issues certificates to the Certificates of every namespace.",
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].message", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(transparent)]
pub struct ClusterIssuerSpec(pub IssuerSpec);

impl Deref for ClusterIssuerSpec {
    type Target = IssuerSpec;

    fn deref(&self) -> &IssuerSpec {
        &self.0
    }
}

impl DerefMut for ClusterIssuerSpec {
    fn deref_mut(&mut self) -> &mut IssuerSpec {
        &mut self.0
    }
}

/// The one kind of issuer that a spec asks for.
#[derive(Clone, Copy, Debug)]
pub enum IssuerConfig<'a> {
    /// ACME.
    Acme(&'a AcmeIssuer),
    /// A CA in a Secret.
    Ca(&'a CaIssuer),
    /// Each certificate signs itself.
    SelfSigned(&'a SelfSignedIssuer),
    /// Vault.
    Vault(&'a VaultIssuer),
    /// Venafi.
    Venafi(&'a VenafiIssuer),
}

impl IssuerSpec {
    /// The kind of issuer, or `None` where none or several are set: such a spec passes only where
    /// the rules of the CRD were not in force.
    pub fn config(&self) -> Option<IssuerConfig<'_>> {
        let Self {
            acme,
            ca,
            deletion_policy: _,
            self_signed,
            vault,
            venafi,
        } = self;
        let mut set = acme
            .iter()
            .map(IssuerConfig::Acme)
            .chain(ca.iter().map(IssuerConfig::Ca))
            .chain(self_signed.iter().map(IssuerConfig::SelfSigned))
            .chain(vault.iter().map(IssuerConfig::Vault))
            .chain(venafi.iter().map(IssuerConfig::Venafi));
        let first = set.next()?;
        set.next().is_none().then_some(first)
    }
}

/// What Issuer and ClusterIssuer have in common.
pub trait AnyIssuer: kube::Resource<DynamicType = ()> {
    /// What the user wrote.
    fn spec(&self) -> &IssuerSpec;
    /// What is known of it.
    fn status(&self) -> Option<&IssuerStatus>;
}

impl AnyIssuer for Issuer {
    fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    fn status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
}

impl AnyIssuer for ClusterIssuer {
    fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    fn status(&self) -> Option<&IssuerStatus> {
        self.status.as_ref()
    }
}
