//! Which ACME server, which account, and how are names proven?

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dns01::Dns01Solver;
use super::duration::Duration;
use super::http01::Http01Solver;
use super::reference::SecretKeySelector;

/// A CA that speaks ACME (RFC 8555), for instance Let's Encrypt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeIssuer {
    /// Certificates, as PEM, that the server's certificate is checked against instead of the
    /// system's. Excludes skipTLSVerify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub ca_bundle: Option<ByteString>,
    /// Whether a missing account key is an error rather than made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_account_key_generation: Option<bool>,
    /// Where the CA can reach the owner of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the lifetime of the Certificate is asked for in the order. Not every server takes
    /// that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_duration_feature: Option<bool>,
    /// Ties the ACME account to an account elsewhere at the CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_account_binding: Option<ExternalAccountBinding>,
    /// Common name of the root wanted, where the server offers several chains. Without a match the
    /// server's default is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub preferred_chain: Option<String>,
    /// Secret that holds the account key; made when missing. Key `tls.key` unless named.
    pub private_key_secret_ref: SecretKeySelector,
    /// Certificate profile to order, if the server has profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Whether the server is asked when to renew (RFC 9773). Absent means ARI.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "ARI"))]
    pub renewal_information_source: Option<RenewalInformationSource>,
    /// Directory URL of the server.
    pub server: String,
    /// Whether the server's certificate goes unchecked. For tests only: anybody on the way could
    /// pose as the CA.
    #[serde(rename = "skipTLSVerify", skip_serializing_if = "Option::is_none")]
    pub skip_tls_verify: Option<bool>,
    /// How names are proven. For each name the solver with the most specific selector is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solvers: Option<Vec<Solver>>,
}

/// Ties the ACME account to an account elsewhere at the CA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAccountBinding {
    /// Not used any more: HS256 always signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<MacAlgorithm>,
    /// Key identifier, as the CA gave it.
    #[serde(rename = "keyID")]
    pub key_id: String,
    /// Secret with the MAC key, as unpadded base64url text. Needed only until the account is
    /// registered.
    pub key_secret_ref: SecretKeySelector,
}

/// MAC that signs an external account binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MacAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
}

/// Whether the server is asked when to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RenewalInformationSource {
    /// Ask the server (RFC 9773).
    #[serde(rename = "ARI")]
    Ari,
    /// Go by the Certificate alone.
    None,
}

/// One way to prove names, and which names it is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Solver {
    /// By a DNS record. The only way for wildcards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns01: Option<Dns01Solver>,
    /// By a file served over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http01: Option<Http01Solver>,
    /// Which names this solver is for. Absent means every name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<SolverSelector>,
    /// Wait this long after the proof is in place instead of checking it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_instead_of_self_check: Option<Duration>,
}

/// Which names a solver is for. All parts that are set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SolverSelector {
    /// Exactly these names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_names: Option<Vec<String>>,
    /// Names in these zones; the longest zone wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_zones: Option<Vec<String>>,
    /// Names of Certificates with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// The account at the ACME server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcmeIssuerStatus {
    /// Hash of the account key last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_private_key_hash: Option<String>,
    /// E-mail address last registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_registered_email: Option<String>,
    /// URL of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}
