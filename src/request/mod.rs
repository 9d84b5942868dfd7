//! CertificateRequest: approve, hand to the issuer, report.

pub mod facts;
pub mod plan;
pub mod reconcile;
pub mod signers;
