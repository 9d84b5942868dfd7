//! What do we add to the API that people know? This is the whole list.

use super::names::annotation;
use super::rules::{self, Rule};

/// Annotations of our own. There are no fields of our own.
pub const ANNOTATIONS: &[&str] = &[
    annotation::RATE_LIMITS,
    annotation::REVOKE,
    annotation::ROTATION,
];

/// The rules that we add to the schema of a kind; the CRD of each kind holds exactly these beside
/// what the contract says.
pub fn rules(kind: &str) -> impl Iterator<Item = &'static Rule> {
    let rules: &[&[Rule]] = match kind {
        "Certificate" => rules::CERTIFICATE,
        "CertificateRequest" => rules::REQUEST,
        "Issuer" | "ClusterIssuer" => rules::ISSUER,
        "Order" => rules::ORDER,
        "Challenge" => rules::CHALLENGE,
        _ => &[],
    };
    rules.iter().copied().flatten()
}
