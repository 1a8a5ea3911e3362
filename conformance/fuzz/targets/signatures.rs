#![no_main]

#[path = "../../tests/hostile/inputs/signatures.rs"]
mod signatures;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signatures::hold(bytes));
