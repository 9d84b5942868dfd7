//! Which proof does an ACME server ask for, how is it given, and how far is it?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acme::Solver;
use super::reference::IssuerRef;

pub use super::order::State;

/// The proof that is asked for, and the way to give it. It never changes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "acme.cert-manager.io",
    version = "v1",
    kind = "Challenge",
    plural = "challenges",
    singular = "challenge",
    category = "cert-manager",
    category = "cert-manager-acme",
    namespaced,
    status = "ChallengeStatus",
    derive = "PartialEq",
    doc = "One proof of control over a name, as an ACME server asks for it. Made and kept by the operator.",
    selectable = ".spec.issuerRef.group",
    selectable = ".spec.issuerRef.kind",
    selectable = ".spec.issuerRef.name",
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state"}"#,
    printcolumn = r#"{"name": "Domain", "type": "string", "jsonPath": ".spec.dnsName"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeSpec {
    /// The authorization at the server.
    #[serde(rename = "authorizationURL")]
    pub authorization_url: String,
    /// Name to prove, without the prefix of a wildcard. May be an IP address.
    pub dns_name: String,
    /// The ACME issuer.
    pub issuer_ref: IssuerRef,
    /// HTTP-01: the key authorization. DNS-01: the value of the TXT record.
    pub key: String,
    /// How the proof is given: the solver chosen from the issuer.
    pub solver: Solver,
    /// Token of the challenge.
    pub token: String,
    /// Kind of challenge.
    #[serde(rename = "type")]
    pub type_: ChallengeType,
    /// The challenge at the server.
    pub url: String,
    /// Whether the order names the wildcard of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<bool>,
}

/// Kind of challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ChallengeType {
    /// A file under a well-known path, over HTTP.
    #[serde(rename = "HTTP-01")]
    Http01,
    /// A TXT record.
    #[serde(rename = "DNS-01")]
    Dns01,
}

impl ChallengeType {
    /// The kind as it is written in a resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "HTTP-01",
            Self::Dns01 => "DNS-01",
        }
    }
}

/// How far the challenge is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeStatus {
    /// Whether the proof is in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presented: Option<bool>,
    /// When the proof was first put in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presented_at: Option<Time>,
    /// Whether the challenge is being worked on; those that are not wait their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing: Option<bool>,
    /// Why the challenge is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// State of the challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}
