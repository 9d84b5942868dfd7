//! The kit over kube: guarded watches and caches, the reconcile driver, writes, leader, health.

pub mod cache;
pub mod client;
pub mod clock;
pub mod driver;
pub mod error;
pub mod events;
mod facts;
pub mod guard;
pub mod health;
mod index;
pub mod key;
pub mod leader;
pub mod lease;
pub mod leftover;
pub mod metrics;
pub mod name;
pub mod pace;
mod packed;
pub mod pause;
pub mod queue;
pub mod report;
pub mod serve;
pub mod signal;
pub mod succession;
pub mod unread;
pub mod watch;
pub mod write;

pub use cache::Cache;
pub use clock::Clock;
pub use driver::{Class, Driver, Next, ReconcileError, Reconciler};
pub use error::RequestError;
pub use facts::{Facts, Meta};
pub use key::{ObjectKey, OwnerKey};
pub use queue::Queue;
