//! The ACME Challenge resource: puts the proof in place, checks it, has the CA validate it.

pub mod facts;
pub mod plan;
pub mod slots;
