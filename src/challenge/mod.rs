//! The ACME Challenge resource: puts the proof in place, checks it, has the CA validate it.

pub mod error;
pub mod facts;
mod finish;
pub mod plan;
pub mod reconcile;
pub mod slots;
pub mod solve;
mod validate;
mod verdict;
