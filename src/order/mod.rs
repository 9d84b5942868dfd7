//! The ACME Order resource: places the order at the CA, has its challenges solved, finalizes it.

mod advance;
pub mod brought;
mod counting;
pub mod error;
mod exchange;
pub mod facts;
pub mod ledger;
pub mod limits;
pub mod placing;
pub mod plan;
pub mod reconcile;
pub mod selector;
mod stored;
