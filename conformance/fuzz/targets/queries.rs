#![no_main]

#[path = "../../tests/hostile/inputs/queries.rs"]
mod queries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| queries::hold(bytes));
