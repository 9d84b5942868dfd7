//! One file per kind of issuer.

pub mod order_name;
pub mod order_request;
