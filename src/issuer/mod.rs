//! One file per kind of issuer.
//!
//! [`reconcile`] checks issuers and tells whether they are ready, [`order_request`] says what becomes
//! of a request at an ACME issuer, [`Sessions`] speaks to its server, [`LocalSigners`] sign with keys
//! that are in the cluster.

pub mod account;
mod acme;
pub mod ca;
pub mod error;
pub mod facts;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod kind;
pub mod limits;
pub mod local;
pub mod named;
pub mod offered;
pub mod order_name;
pub mod order_request;
pub mod profile;
mod recent;
pub mod reconcile;
pub mod refusal;
pub mod revoke;
pub mod rotation;
mod secret;
pub mod self_signed;
mod server;
pub mod sessions;
pub mod solvers;
mod status;
mod usage;
pub mod view;

pub use error::Error;
pub use facts::{IssuerFacts, IssuerIndex, IssuerKind};
pub use local::LocalSigners;
pub use secret::SecretVersion;
pub use sessions::Sessions;
pub use view::{AccountId, IssuerView, Issuers, Missing, NotUsable};
