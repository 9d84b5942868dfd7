//! What becomes of certificates that are no longer wanted, and which were issued at all?
//!
//! [`record`] writes each down before it is stored, [`plan`] decides, [`reconcile`] asks and acts.

mod act;
mod brake;
mod claim;
pub mod departed;
pub mod error;
mod escrow;
pub mod facts;
mod listing;
mod live;
mod orphan;
mod pace;
pub mod plan;
pub mod reconcile;
pub mod record;
#[cfg(test)]
pub(crate) mod samples;
pub mod share;
mod shared;

pub use error::Error;
pub use facts::{IssuanceFacts, IssuanceIndex, Settings};
pub use reconcile::IssuanceReconciler;
pub use record::Recorder;
