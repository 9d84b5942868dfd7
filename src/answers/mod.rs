//! Does DNS say something else of a name by now that could not be validated?
//!
//! Nothing is put in place for that: the question is what would be another ground for a CA, not
//! whether it would be content.

pub mod history;
pub mod look;
pub mod plan;
pub mod question;
pub mod reconcile;
pub mod watches;

pub use reconcile::AnswersReconciler;
pub use watches::Watches;
