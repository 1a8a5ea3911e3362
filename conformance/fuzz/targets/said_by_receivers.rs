#![no_main]

#[path = "../../tests/hostile/inputs/said_by_receivers.rs"]
mod said_by_receivers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| said_by_receivers::hold(bytes));
