//! What was ordered from an ACME server, and how far is it?

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Duration;
use super::reference::IssuerRef;

/// What is ordered.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "acme.cert-manager.io",
    version = "v1",
    kind = "Order",
    plural = "orders",
    singular = "order",
    category = "cert-manager",
    category = "cert-manager-acme",
    namespaced,
    status = "OrderStatus",
    derive = "PartialEq",
    doc = "An order placed with an ACME server. Made and kept by the operator.",
    selectable = ".spec.issuerRef.group",
    selectable = ".spec.issuerRef.kind",
    selectable = ".spec.issuerRef.name",
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state"}"#,
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name", "priority": 1}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct OrderSpec {
    /// Common name of the request; must be among the names ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// DNS names to order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_names: Option<Vec<String>>,
    /// Lifetime to ask for, where the issuer allows asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// IP addresses to order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_addresses: Option<Vec<String>>,
    /// The ACME issuer. Its kind is that of the CertificateRequest behind the order.
    pub issuer_ref: IssuerRef,
    /// Certificate profile to ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Certificate that this order replaces, as renewal information identifies it (RFC 9773 section
    /// 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The certificate signing request, as PEM.
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub request: ByteString,
}

/// How far the order is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderStatus {
    /// What the server wants to be proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizations: Option<Vec<Authorization>>,
    /// The issued certificate and its intermediates, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub certificate: Option<ByteString>,
    /// When the order failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_time: Option<Time>,
    /// Where the server takes the signing request.
    #[serde(rename = "finalizeURL", skip_serializing_if = "Option::is_none")]
    pub finalize_url: Option<String>,
    /// Why the order is in this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// State of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The order at the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A name that the server wants to be proven, and the ways it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// The ways the server offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenges: Option<Vec<OfferedChallenge>>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// State of the authorization when it was first read. A valid one needs no challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_state: Option<State>,
    /// The authorization at the server.
    pub url: String,
    /// Whether the order names the wildcard of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<bool>,
}

/// One way of proof that the server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferedChallenge {
    /// Token of the challenge.
    pub token: String,
    /// Kind of challenge, as the server calls it, for instance http-01.
    #[serde(rename = "type")]
    pub type_: String,
    /// The challenge at the server.
    pub url: String,
}

/// State of an order, an authorization or a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Done.
    #[serde(rename = "valid")]
    Valid,
    /// All is proven; the order can be finalized.
    #[serde(rename = "ready")]
    Ready,
    /// Something has to be proven.
    #[serde(rename = "pending")]
    Pending,
    /// The server is at work.
    #[serde(rename = "processing")]
    Processing,
    /// The server refused.
    #[serde(rename = "invalid")]
    Invalid,
    /// The time ran out.
    #[serde(rename = "expired")]
    Expired,
    /// The server answered with an error that will not pass by itself.
    #[serde(rename = "errored")]
    Errored,
}

impl State {
    /// Whether nothing will follow.
    pub fn is_final(self) -> bool {
        self == Self::Valid || self.is_failure()
    }

    /// Whether it ended without success.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Invalid | Self::Expired | Self::Errored => true,
            Self::Valid | Self::Ready | Self::Pending | Self::Processing => false,
        }
    }

    /// The state as it is written in a resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Ready => "ready",
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Errored => "errored",
        }
    }
}
