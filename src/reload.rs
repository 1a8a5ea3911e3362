//! Live reload: the configuration is read again when a file changes, at SIGHUP, or when an operator asks for it.
//!
//! A configuration that cannot be used changes nothing and is told; the one before stays in force.

use std::path::PathBuf;
use std::time::Duration;

use engine::graph::plan::Plan;
use engine::pipeline::{Ask, Changes, Pipelines};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use crate::config::{File, log_warnings};
use crate::failure::Failure;
use crate::watch::Watch;

/// What was read: everything that can be checked without opening anything is checked.
pub(crate) struct Read {
    /// The pipelines.
    pub(crate) plans: Vec<Plan>,
    /// The files it stands in.
    pub(crate) files: Vec<File>,
    /// Settings that are different from those in force and take effect at the next start only.
    pub(crate) needs_restart: Vec<String>,
}

/// Keeps the running pipelines as the configuration wants them.
pub(crate) struct Reloader<R> {
    pub(crate) pipelines: Pipelines,
    /// Reads the configuration, and tells which files it looked for, whether or not they are there and sound.
    pub(crate) read: R,
    pub(crate) watch: Watch,
    pub(crate) asked: mpsc::Receiver<Ask>,
    pub(crate) hangup: Signal,
    /// How long replaced pipelines may take to finish what they hold.
    pub(crate) grace: Duration,
}

impl<R: FnMut(&mut Vec<PathBuf>) -> Result<Read, Failure> + Send> Reloader<R> {
    /// Reads the configuration again whenever there is a reason, until `stop` says so; returns what runs then.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Pipelines {
        loop {
            tokio::select! {
                biased;
                () = told(&mut stop) => return self.pipelines,
                Some(()) = self.hangup.recv() => drop(self.reload("SIGHUP").await),
                Some(Ask { only_check, answer }) = self.asked.recv() => {
                    let result = if only_check { self.check() } else { self.reload("an operator asked").await };
                    // Whoever asked may have gone.
                    drop(answer.send(result));
                }
                path = self.watch.changed() => drop(self.reload(&format!("{} has changed", path.display())).await),
            }
        }
    }

    /// Reads the configuration and has it take the place of the one before.
    async fn reload(&mut self, why: &str) -> Result<Changes, String> {
        // What changes from here on is another reason.
        self.watch.look();
        let mut tried = Vec::new();
        let read = (self.read)(&mut tried);
        self.watch.set(tried);
        let done = match read {
            Ok(Read { plans, files, needs_restart }) => {
                log_warnings(&files.iter().collect::<Vec<_>>());
                let replaced = self.pipelines.replace(plans, self.grace).await;
                replaced
                    .map(|changes| Changes { needs_restart, ..changes })
                    .map_err(|error| error.to_string())
            }
            Err(failure) => Err(failure.text().to_owned()),
        };
        match &done {
            Ok(Changes { added, changed, removed, unchanged, needs_restart }) => {
                info!(why, ?added, ?changed, ?removed, unchanged, "the configuration was read again");
                if !needs_restart.is_empty() {
                    info!(settings = ?needs_restart, "these settings are different and take effect at the next start");
                }
            }
            Err(faults) => error!(
                why,
                faults = faults.trim_end(),
                "the new configuration cannot be used; the one before stays in force"
            ),
        }
        done
    }

    /// Reads the configuration and tells what it would change.
    fn check(&mut self) -> Result<Changes, String> {
        let Read { plans, needs_restart, .. } =
            (self.read)(&mut Vec::new()).map_err(|failure| failure.text().to_owned())?;
        Ok(Changes { needs_restart, ..self.pipelines.would_change(plans) })
    }
}

/// Waits until it is time to stop. Whoever could say so lives as long as the process.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Catches SIGHUP from now on, which would end the process otherwise.
///
/// # Errors
/// It cannot be watched.
pub(crate) fn on_hangup() -> Result<Signal, Failure> {
    signal(SignalKind::hangup())
        .map_err(|error| Failure::other(format!("signals cannot be watched: {error}")))
}
