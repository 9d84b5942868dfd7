//! See `TARGETS` in `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certwright::fuzzing::run("key_store", data));
