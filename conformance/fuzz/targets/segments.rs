#![no_main]

#[path = "../../tests/hostile/inputs/segments.rs"]
mod segments;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segments::hold(bytes));
