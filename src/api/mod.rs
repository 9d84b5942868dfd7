//! What do users write, and what do they read back? The resources, without any I/O.

pub mod acme;
pub mod additions;
pub mod certificate;
pub mod challenge;
pub mod condition;
pub mod crd;
pub mod deletion;
pub mod dns01;
pub mod duration;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http01;
pub mod issuance;
pub mod issuer;
pub mod keystore;
pub mod names;
pub mod order;
pub mod pod;
pub mod private_key;
pub mod reason;
pub mod reference;
pub mod renewal;
pub mod request;
pub mod rules;
mod schema;
pub mod secret_text;
pub mod subject;
pub mod usage;
pub mod vault;
pub mod venafi;
