//! Which certificates has a CA revoked, and where is the list of them (CRL) published?
//!
//! [`entries`] computes what is in it, [`room`] shares it among namespaces, [`plan`] decides when one is signed, [`reconcile`] signs and
//! stores it, [`serve`] hands out over HTTP what is stored.

pub mod entries;
pub mod error;
pub mod facts;
pub mod plan;
pub mod reconcile;
pub mod room;
pub mod serve;
mod store;

pub use facts::{ListFacts, published_by};
pub use reconcile::ListReconciler;
pub use room::Waiting;
pub use store::MOST_BYTES;

#[cfg(test)]
mod tests;
