//! Certificate → private key, CertificateRequest, Secret.

mod act;
pub mod action;
pub mod asked_for;
mod at_hand;
mod at_once;
pub mod backoff;
pub mod basis;
pub mod cause;
pub mod content;
pub mod details;
pub mod error;
pub mod facts;
pub mod failure;
mod finish;
pub mod fit;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gather;
mod issue;
pub mod issued;
pub mod key;
mod keyring;
pub mod keystores;
pub mod managed;
mod passwords;
pub mod plan;
pub mod policy;
pub mod reconcile;
pub mod renewal;
pub mod renewal_info;
pub mod replaced;
pub mod request;
mod reusable;
pub mod reuse;
pub mod rotation;
pub mod secret;
pub mod spec;
mod standing;
mod status;
pub mod suggestion;
pub mod temporary;
mod uncounted;
pub mod upkeep;

pub use error::Error;
pub use facts::{CertificateFacts, CertificateIndex, Settings};
pub use reconcile::CertificateReconciler;
pub use secret::{SecretFacts, SecretIndex};

#[cfg(test)]
mod stories;
