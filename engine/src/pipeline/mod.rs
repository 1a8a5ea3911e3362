//! From plans to tasks: open, run, stop.
//!
//! Opening may touch the world and spawns nothing, so an open that fails leaks nothing. Running spawns one task per stage.
//! A stage that ends early, by an error or a panic, ends its pipeline: what was unsettled is dropped, hence redelivered,
//! and the supervisor opens the pipeline again, for ever.

mod open;
mod supervisor;

pub use open::{Opened, Surroundings};
pub use supervisor::Pipelines;

#[cfg(test)]
mod tests;
