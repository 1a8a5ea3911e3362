//! From plans to tasks: open, run, replace, stop.
//!
//! Opening may touch the world and spawns nothing but what ends with [`Lasting`](crate::kind::Lasting), so an open that fails
//! leaks nothing. Running spawns one task per stage.
//! A stage that ends early, by an error or a panic, ends its pipeline: what was unsettled is dropped, hence redelivered,
//! and the supervisor opens the pipeline again, for ever. A new configuration replaces whole pipelines: those that are
//! equal run on, and no edge of a running one is ever changed.

mod open;
mod reload;
mod set;
mod supervisor;

pub use open::{Opened, Surroundings};
pub use reload::{Ask, Changes, Reload};
pub use set::Pipelines;

use tokio::sync::watch;

/// Waits until `stop` says so. Whoever could say it is gone means the same. Cancelling loses nothing.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

#[cfg(test)]
mod tests;
