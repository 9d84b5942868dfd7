//! The HTTP client and DNS look-ups.

pub mod http;
pub mod dns;
