//! What do we add to the API that people know? This is the whole list.

use super::names::annotation;
use super::rules::{self, Rule};

/// Annotations of our own.
pub const ANNOTATIONS: &[&str] = &[
    annotation::ACME_PROFILE,
    annotation::CONFIRM,
    annotation::RATE_LIMITS,
    annotation::REUSE,
    annotation::REUSED_ISSUANCE,
    annotation::REVOKE,
    annotation::REVOKE_REQUESTED_BY,
    annotation::ROTATION,
];

/// Kinds of our own, in an API group of our own.
pub const KINDS: &[&str] = &["Issuance"];

/// Fields of our own on kinds that people know: kind, path, type, and the values of a text.
pub const FIELDS: &[(&str, &str, &str, &[&str])] = &[
    ("Certificate", "spec.deletionPolicy", "string", POLICIES),
    ("Issuer", "spec.deletionPolicy", "string", POLICIES),
    ("Issuer", "spec.ca.crl", "object", &[]),
    ("Issuer", "spec.ca.crl.url", "string", &[]),
    ("Issuer", "spec.ca.crl.validity", "string", &[]),
    ("ClusterIssuer", "spec.deletionPolicy", "string", POLICIES),
    ("ClusterIssuer", "spec.ca.crl", "object", &[]),
    ("ClusterIssuer", "spec.ca.crl.url", "string", &[]),
    ("ClusterIssuer", "spec.ca.crl.validity", "string", &[]),
];

const POLICIES: &[&str] = &["Revoke", "Delete", "Retain"];

/// The rules that we add to the schema of a kind; the CRD of each kind holds exactly these beside
/// what the contract says.
pub fn rules(kind: &str) -> impl Iterator<Item = &'static Rule> {
    let rules: &[&[Rule]] = match kind {
        "Certificate" => rules::CERTIFICATE,
        "CertificateRequest" => rules::REQUEST,
        "Issuer" | "ClusterIssuer" => rules::ISSUER,
        "Order" => rules::ORDER,
        "Challenge" => rules::CHALLENGE,
        "Issuance" => rules::ISSUANCE,
        _ => &[],
    };
    rules.iter().copied().flatten()
}
