//! Certificate → private key, CertificateRequest, Secret.

pub mod backoff;
pub mod cause;
pub mod content;
pub mod details;
pub mod facts;
mod issue;
pub mod issued;
pub mod key;
pub mod managed;
pub mod plan;
pub mod policy;
pub mod renewal;
pub mod request;
pub mod secret;
pub mod spec;
mod status;
pub mod temporary;
pub mod upkeep;
