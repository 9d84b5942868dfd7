//! Which Venafi service signs, under which policy, and how does it know us?

use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::{NameRef, SecretKeySelector};

/// Venafi, now CyberArk Certificate Manager. Exactly one of cloud, ngts and tpp is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VenafiIssuer {
    /// The SaaS service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<VenafiCloud>,
    /// Next-Gen Trust Security.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ngts: Option<VenafiNgts>,
    /// The self-hosted service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpp: Option<VenafiTpp>,
    /// Policy folder or application and template.
    pub zone: String,
}

/// The SaaS service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VenafiCloud {
    /// Secret with the API key, in `api-key` unless named.
    pub api_token_secret_ref: SecretKeySelector,
    /// URL of the service. Absent means https://api.venafi.cloud/.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Next-Gen Trust Security.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VenafiNgts {
    /// Secret with `client-id` and `client-secret`.
    pub credentials_ref: NameRef,
    /// URL that gives tokens. Absent means the service's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Tenant service group.
    #[serde(rename = "tsgID")]
    pub tsg_id: String,
    /// URL of the service. Absent means the service's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The self-hosted service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VenafiTpp {
    /// Certificates, as PEM, that the server's certificate is checked against instead of the
    /// system's. Excludes caBundleSecretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub ca_bundle: Option<ByteString>,
    /// Secret with those certificates, in `ca.crt` unless named. Excludes caBundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeySelector>,
    /// Secret with `username` and `password`, or `access-token`.
    pub credentials_ref: NameRef,
    /// URL of the service.
    pub url: String,
}
