//! See `TARGETS` in `src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certwright::fuzzing::run("certificate_object", data));
