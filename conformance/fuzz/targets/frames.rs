#![no_main]

#[path = "../../tests/hostile/inputs/frames.rs"]
mod frames;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| frames::hold(bytes));
