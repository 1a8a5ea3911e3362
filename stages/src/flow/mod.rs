//! Stages between a source and its destinations.

pub(crate) mod by_webhook;
pub(crate) mod chain;
pub(crate) mod retry;

mod given_up;
mod waiting;
mod window;
