//! A real cluster in a folder, for the demo, the tests and the benchmarks of certwright.
//!
//! One line per room, from the outside in.

pub mod authority;
pub mod bed;
pub mod cluster;
pub mod folder;
pub mod home;
pub mod process;
pub mod progress;
pub mod tools;
pub mod web;

pub use self::bed::{Bed, BedOptions};

pub mod dns;
