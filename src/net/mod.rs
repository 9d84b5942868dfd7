//! The HTTP client and DNS look-ups.

pub mod dns;
pub mod http;
