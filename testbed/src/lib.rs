//! A real cluster in a folder, for the demo, the tests and the benchmarks of certwright.
//!
//! Tests begin at [`stage`] and [`bed`]; `demo` and `bench` are two more users of the same.

pub mod acme;
pub mod apply;
pub mod authority;
pub mod bed;
pub mod bench;
pub mod chart;
pub mod cluster;
pub mod demo;
pub mod dns;
pub mod folder;
pub mod follow;
pub mod home;
pub mod ingress;
pub mod namespace;
pub mod operator;
pub mod process;
pub mod progress;
pub mod simulate;
pub mod stage;
pub mod tools;
pub mod verify;
pub mod web;

pub use self::bed::{Bed, BedOptions};
