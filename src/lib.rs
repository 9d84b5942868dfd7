//! certwright: certificates in Kubernetes, issued, renewed and revoked.
//!
//! One line per room, in the order a certificate passes through them; dependencies point inwards
//! (`api` and `pki` know nobody, `acme` and `net` know no Kubernetes, nobody uses `cli`).

pub mod acme;
pub mod answers;
pub mod api;
pub mod caches;
pub mod certificate;
pub mod challenge;
pub mod cli;
pub mod cluster;
pub mod crl;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod issuer;
pub mod net;
pub mod order;
pub mod pki;
pub mod request;
pub mod retire;
pub mod route;
pub mod signing_request;
pub mod solver;
