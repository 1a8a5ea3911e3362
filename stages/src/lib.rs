//! What a pipeline can be made of: gates, buffers, flow stages and destinations.
//!
//! [`registry`] is the list of all of them. The rest are folders of one file per stage, each with its settings, its
//! manual and its behaviour.

pub mod registry;

mod auth;

mod gate;

pub mod buffer;

/// What operators do with the folder of an embedded buffer.
pub mod store {
    pub use crate::buffer::embedded::operate::{Finding, Report, Standing, export, repair, verify};
}

mod flow;

mod sink;

mod http;

#[cfg(test)]
mod testing;
