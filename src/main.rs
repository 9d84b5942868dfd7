//! The certwright binary.

fn main() {}
