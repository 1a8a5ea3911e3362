//! When to stop: SIGTERM and SIGINT ask for an orderly end, a second one ends at once.

use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::failure::Failure;

/// The exit code of a process that was told twice to stop: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Watches the signals and returns what becomes true at the first of them.
///
/// # Errors
/// The signals cannot be watched.
pub(crate) fn on_signals() -> Result<watch::Receiver<bool>, Failure> {
    let watch_for =
        |kind| signal(kind).map_err(|error| Failure::other(format!("signals cannot be watched: {error}")));
    let (mut term, mut int) = (watch_for(SignalKind::terminate())?, watch_for(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if stop.send_replace(true) {
                warn!("told again to stop: ending at once");
                process::exit(INTERRUPTED);
            }
            info!("told to stop: finishing what is in flight");
        }
    });
    Ok(stopped)
}
