//! Kubernetes' own CertificateSigningRequest: hand to the issuer that its signer name means, report.

pub mod access;
pub mod facts;
pub mod plan;
pub mod reconcile;
pub mod signer_name;
