#![no_main]

#[path = "../../tests/hostile/inputs/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| configuration::hold(bytes));
