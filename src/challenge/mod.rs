//! The ACME Challenge resource.
pub mod slots;
