//! Does the Helm chart render what it promises, for every value that it has?

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod files;
mod names;
mod operator;
mod refusals;
mod render;
mod rights;
mod toggles;
