//! CertificateRequest: approve, hand to the issuer, report.

pub mod facts;
pub mod identity;
pub mod plan;
pub mod reconcile;
pub mod signers;
