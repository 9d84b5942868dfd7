//! What does one request for a signature hold, who made it, and what came of it?

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::RequestCondition;
use super::duration::Duration;
use super::reference::IssuerRef;
use super::usage::KeyUsage;

/// The request, and who made it. It never changes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "CertificateRequest",
    plural = "certificaterequests",
    singular = "certificaterequest",
    shortname = "cr",
    shortname = "crs",
    category = "cert-manager",
    namespaced,
    status = "CertificateRequestStatus",
    derive = "PartialEq",
    doc = "One request for a signed certificate; made for a Certificate, or by a client of its own.",
    selectable = ".spec.issuerRef.group",
    selectable = ".spec.issuerRef.kind",
    selectable = ".spec.issuerRef.name",
    printcolumn = r#"{"name": "Approved", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Approved\")].status"}"#,
    printcolumn = r#"{"name": "Denied", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Denied\")].status"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".spec.issuerRef.name"}"#,
    printcolumn = r#"{"name": "Requester", "type": "string", "jsonPath": ".spec.username"}"#,
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.conditions[?(@.type == \"Ready\")].message", "priority": 1}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRequestSpec {
    /// Lifetime to ask for. Absent means 2160h (90 days). The issuer may give another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Extra attributes of the requester, set by the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<BTreeMap<String, Vec<String>>>,
    /// Groups of the requester, set by the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Whether the certificate may sign other certificates.
    #[serde(rename = "isCA", skip_serializing_if = "Option::is_none")]
    pub is_ca: Option<bool>,
    /// Who is asked to sign.
    pub issuer_ref: IssuerRef,
    /// The certificate signing request, as PEM.
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub request: ByteString,
    /// Identity of the requester, set by the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What the key may be used for. Absent means digital signature and key encipherment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usages: Option<Vec<KeyUsage>>,
    /// User name of the requester, set by the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// What came of the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRequestStatus {
    /// Certificate of the CA, as PEM, when the issuer knows it. Take trust anchors from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub ca: Option<ByteString>,
    /// The signed certificate and its intermediates, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::schema::bytes")]
    pub certificate: Option<ByteString>,
    /// State of the request: Approved, Denied, InvalidRequest, Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<RequestCondition>>,
    /// When the request failed or was denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_time: Option<Time>,
}
