//! The HTTP client and DNS look-ups.

pub mod dns;
pub mod http;
#[cfg(test)]
pub(crate) mod script;
