//! Everything promised to outsiders: configuration formats and the wire.

pub mod wire;
