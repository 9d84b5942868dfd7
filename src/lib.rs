//! certwright: certificates in Kubernetes, issued, renewed and revoked.
//!
//! One line per room, in the order a certificate passes through them; dependencies point inwards
//! (`api` and `pki` know nobody, `acme` and `net` know no Kubernetes, nobody uses `cli`).

pub mod api;
pub mod cluster;
pub mod certificate;
pub mod request;
pub mod issuer;
pub mod acme;
pub mod order;
pub mod challenge;
pub mod solver;
pub mod pki;
pub mod net;
pub mod cli;
