#![no_main]

#[path = "../../tests/hostile/inputs/said_by_connectors.rs"]
mod said_by_connectors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| said_by_connectors::hold(bytes));
