//! CertificateRequest: approve, hand to the issuer, report.

pub mod at_once;
pub mod error;
pub mod facts;
pub mod identity;
pub mod in_hand;
pub mod plan;
pub mod reconcile;
#[cfg(test)]
pub(crate) mod samples;
pub mod signers;
