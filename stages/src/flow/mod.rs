//! Stages between a source and its destinations.

pub(crate) mod retry;
