//! One file per kind of issuer.

pub mod ca;
pub mod facts;
pub mod kind;
pub mod order_name;
pub mod order_request;
pub mod solvers;
pub mod view;

pub use facts::{IssuerFacts, IssuerIndex, IssuerKind};
pub use view::{IssuerView, Issuers, Missing, NotUsable};
