//! What becomes of certificates that are no longer wanted, and which were issued at all?
//!
//! [`record`] writes each down that may be revoked, before it is stored, and [`departure`] the others when
//! their Certificate goes; [`plan`] decides, [`reconcile`] asks and acts.

mod act;
pub mod asker;
pub mod brake;
mod claim;
mod copies;
pub mod counts;
mod deleted;
pub mod departed;
mod departure;
mod entry;
pub mod error;
mod escrow;
mod evidence;
pub mod facts;
mod inventory;
mod listing;
mod live;
mod orphan;
mod pace;
pub mod plan;
pub mod reconcile;
pub mod record;
mod room;
#[cfg(test)]
pub(crate) mod samples;
pub mod share;
mod shared;
mod spread;
mod unattended;
mod users;

pub use departure::DepartureReconciler;
pub use error::Error;
pub use facts::{IssuanceFacts, IssuanceIndex, Settings};
pub use reconcile::IssuanceReconciler;
pub use record::Recorder;
