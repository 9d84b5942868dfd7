//! Which Vault signs, and how does it know us?

use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::{SecretKeySelector, ServiceAccountRef};

/// HashiCorp Vault or OpenBao.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultIssuer {
    /// How we log in. Exactly one way is set.
    pub auth: VaultAuth,
    /// Certificates, as PEM, that the server's certificate is checked against instead of the
    /// system's. Excludes caBundleSecretRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub ca_bundle: Option<ByteString>,
    /// Secret with those certificates, in `ca.crt` unless named. Excludes caBundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_secret_ref: Option<SecretKeySelector>,
    /// Secret with our client certificate, in `tls.crt` unless named; needs clientKeySecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_secret_ref: Option<SecretKeySelector>,
    /// Secret with our client key, in `tls.key` unless named; needs clientCertSecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret_ref: Option<SecretKeySelector>,
    /// Vault namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the signing endpoint, for instance pki/sign/my-role.
    pub path: String,
    /// URL of the server.
    pub server: String,
    /// Name to ask for and to check in the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// How we log in to Vault. Exactly one way is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// By AppRole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_role: Option<VaultAppRole>,
    /// By AWS identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<VaultAwsAuth>,
    /// By client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<VaultClientCertificateAuth>,
    /// By a token of a Kubernetes service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<VaultKubernetesAuth>,
    /// By a Vault token in a Secret, in `token` unless named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeySelector>,
}

/// By AppRole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAppRole {
    /// Where the method is mounted, for instance approle.
    pub path: String,
    /// Role ID.
    pub role_id: String,
    /// Secret with the secret ID.
    pub secret_ref: SecretKeySelector,
}

/// By AWS identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultAwsAuth {
    /// IAM role to assume; needed with serviceAccountRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam_role_arn: Option<String>,
    /// Where the method is mounted. Absent means /v1/auth/aws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// AWS region of the token service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Vault role.
    #[schemars(length(min = 1))]
    pub role: String,
    /// Service account to get AWS credentials with. Absent means the operator's own identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// Value of the header X-Vault-AWS-IAM-Server-ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_header_value: Option<String>,
}

/// By client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultClientCertificateAuth {
    /// Where the method is mounted. Absent means /v1/auth/cert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Certificate role. Absent means any that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Secret with `tls.crt` and `tls.key`. Absent means clientCertSecretRef and
    /// clientKeySecretRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// By a token of a Kubernetes service account. Exactly one of secretRef and serviceAccountRef is
/// set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultKubernetesAuth {
    /// Where the method is mounted. Absent means /v1/auth/kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_path: Option<String>,
    /// Vault role.
    pub role: String,
    /// Secret with the token, in `token` unless named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeySelector>,
    /// Service account whose token is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
}
