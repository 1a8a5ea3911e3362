//! Everything promised to outsiders: configuration formats and the wire.
