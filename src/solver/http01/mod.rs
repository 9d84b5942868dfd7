//! HTTP-01: a path on the name, routed to this process, which answers it.
//!
//! No pod per challenge: a Service and EndpointSlices lead from an Ingress in the namespace of the
//! Certificate to the addresses of the operator's replicas.

pub mod check;
pub mod endpoints;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod ingress;
pub mod present;
pub mod responder;
pub mod route;

/// Where a challenge's answer is found on its host (RFC 8555 section 8.3); the token follows.
pub const PATH: &str = "/.well-known/acme-challenge/";
