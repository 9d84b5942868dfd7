//! A real cluster in a folder, for the demo, the tests and the benchmarks of certwright.

pub mod dns;
