//! How is a DNS-01 record set, and how is it checked?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::{SecretKeySelector, ServiceAccountRef};

/// By a DNS record. Exactly one provider is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dns01Solver {
    /// An acme-dns server.
    #[serde(rename = "acmeDNS", skip_serializing_if = "Option::is_none")]
    pub acme_dns: Option<AcmeDns>,
    /// Akamai Edge DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub akamai: Option<Akamai>,
    /// Azure DNS.
    #[serde(rename = "azureDNS", skip_serializing_if = "Option::is_none")]
    pub azure_dns: Option<AzureDns>,
    /// Google Cloud DNS.
    #[serde(rename = "cloudDNS", skip_serializing_if = "Option::is_none")]
    pub cloud_dns: Option<CloudDns>,
    /// Cloudflare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloudflare: Option<Cloudflare>,
    /// Whether a CNAME at the challenge's name is followed. Absent means None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cname_strategy: Option<CnameStrategy>,
    /// DigitalOcean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digitalocean: Option<DigitalOcean>,
    /// Resolvers to check the record with, as host:port or https URL, instead of the authoritative
    /// servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<String>>,
    /// Any server that takes dynamic updates (RFC 2136).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rfc2136: Option<Rfc2136>,
    /// AWS Route 53.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route53: Option<Route53>,
    /// An external solver reached through the Kubernetes API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookProvider>,
}

/// Whether a CNAME at the challenge's name is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CnameStrategy {
    /// Set the record at the challenge's own name.
    None,
    /// Set the record where the CNAMEs lead.
    Follow,
}

/// An acme-dns server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeDns {
    /// Secret with the accounts, as JSON by domain.
    pub account_secret_ref: SecretKeySelector,
    /// URL of the server.
    pub host: String,
}

/// Akamai Edge DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Akamai {
    /// Secret with the access token.
    pub access_token_secret_ref: SecretKeySelector,
    /// Secret with the client secret.
    pub client_secret_secret_ref: SecretKeySelector,
    /// Secret with the client token.
    pub client_token_secret_ref: SecretKeySelector,
    /// EdgeGrid host of the API client.
    pub service_consumer_domain: String,
}

/// Azure DNS. Without credentials the workload's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureDns {
    /// Client of the service principal; needs clientSecretSecretRef and tenantID.
    #[serde(rename = "clientID", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Secret with the client secret of the service principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_secret_ref: Option<SecretKeySelector>,
    /// Azure cloud. Absent means AzurePublicCloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<AzureEnvironment>,
    /// Zone to write to. Absent means the one that DNS names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted_zone_name: Option<String>,
    /// Managed identity to use. Excludes a service principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<AzureManagedIdentity>,
    /// Resource group of the zone.
    pub resource_group_name: String,
    /// Subscription of the zone.
    #[serde(rename = "subscriptionID")]
    pub subscription_id: String,
    /// Tenant of the service principal.
    #[serde(rename = "tenantID", skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Kind of zone. Absent means AzurePublicZone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_type: Option<AzureZoneType>,
}

/// Azure cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AzureEnvironment {
    /// The public cloud.
    AzurePublicCloud,
    /// The cloud in China.
    AzureChinaCloud,
    /// The cloud in Germany.
    AzureGermanCloud,
    /// The cloud of the US government.
    #[serde(rename = "AzureUSGovernmentCloud")]
    AzureUsGovernmentCloud,
}

/// Kind of Azure DNS zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AzureZoneType {
    /// A public zone.
    AzurePublicZone,
    /// A private zone.
    AzurePrivateZone,
}

/// A managed identity, by client or by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureManagedIdentity {
    /// Client ID of the identity. Excludes resourceID.
    #[serde(rename = "clientID", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Resource ID of the identity. Excludes clientID.
    #[serde(rename = "resourceID", skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// Tenant of the identity; needs clientID.
    #[serde(rename = "tenantID", skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// Google Cloud DNS. Without credentials the workload's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudDns {
    /// Zone to write to. Absent means the one that matches the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosted_zone_name: Option<String>,
    /// Google Cloud project.
    pub project: String,
    /// Secret with the key of a service account, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_secret_ref: Option<SecretKeySelector>,
}

/// Cloudflare, by API token or by API key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cloudflare {
    /// Secret with the global API key; needs email. Excludes apiTokenSecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeySelector>,
    /// Secret with an API token. Excludes apiKeySecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token_secret_ref: Option<SecretKeySelector>,
    /// E-mail address of the account, for the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// DigitalOcean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DigitalOcean {
    /// Secret with the API token.
    pub token_secret_ref: SecretKeySelector,
}

/// Any server that takes dynamic updates (RFC 2136).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rfc2136 {
    /// Server to update: host, host:port or [IPv6]:port. Port 53 unless given.
    pub nameserver: String,
    /// Transport of the update. Absent means UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Rfc2136Protocol>,
    /// HMACMD5, HMACSHA1, HMACSHA256 or HMACSHA512. Absent means HMACMD5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsig_algorithm: Option<String>,
    /// Name of the TSIG key; needs tsigSecretSecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsig_key_name: Option<String>,
    /// Secret with the TSIG key, as base64 text; needs tsigKeyName.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsig_secret_secret_ref: Option<SecretKeySelector>,
}

/// Transport of a dynamic update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Rfc2136Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
}

impl Rfc2136Protocol {
    /// The protocol as it is written in a resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// AWS Route 53. Without credentials the workload's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route53 {
    /// Access key. Excludes accessKeyIDSecretRef.
    #[serde(rename = "accessKeyID", skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Secret with the access key. Excludes accessKeyID.
    #[serde(
        rename = "accessKeyIDSecretRef",
        skip_serializing_if = "Option::is_none"
    )]
    pub access_key_id_secret_ref: Option<SecretKeySelector>,
    /// A Kubernetes service account as AWS identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Route53Auth>,
    /// Zone to write to. Absent means the one that matches the name.
    #[serde(rename = "hostedZoneID", skip_serializing_if = "Option::is_none")]
    pub hosted_zone_id: Option<String>,
    /// AWS region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Role to assume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Secret with the secret access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeySelector>,
}

/// How Route 53 is told who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route53Auth {
    /// By a token of a Kubernetes service account.
    pub kubernetes: Route53KubernetesAuth,
}

/// By a token of a Kubernetes service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route53KubernetesAuth {
    /// The service account.
    pub service_account_ref: ServiceAccountRef,
}

/// An external solver reached through the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookProvider {
    /// Passed to the solver as it is. Its Secrets are read by the solver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::anything")]
    pub config: Option<serde_json::Value>,
    /// API group of the solver.
    pub group_name: String,
    /// Name of the solver in that group.
    pub solver_name: String,
}
