//! How a process is asked to read its configuration again, and what came of it.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait; each asker waits for its answer.
const REQUESTS: usize = 16;

/// What a new configuration changed, by the names of pipelines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Pipelines that are new.
    pub added: Vec<String>,
    /// Pipelines that took the place of one of the same name.
    pub changed: Vec<String>,
    /// Pipelines that are gone.
    pub removed: Vec<String>,
    /// How many run on as they were.
    pub unchanged: usize,
    /// Settings that are different and take effect at the next start only.
    pub needs_restart: Vec<String>,
}

/// Asks the process to read its configuration again. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Ask>);

/// One request.
#[derive(Debug)]
pub struct Ask {
    /// Whether to look only, and change nothing.
    pub only_check: bool,
    /// Told what changed, or what is wrong with the new configuration.
    pub answer: oneshot::Sender<Result<Changes, String>>,
}

impl Reload {
    /// Makes both ends.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(REQUESTS);
        (Self(asks), asked)
    }

    /// Asks, and waits for what came of it. Cancelling leaves the request standing.
    ///
    /// # Errors
    /// What is wrong with the new configuration; the one before stays in force.
    pub async fn ask(&self, only_check: bool) -> Result<Changes, String> {
        let (answer, answered) = oneshot::channel();
        let stopping = || "the process is stopping".to_owned();
        self.0.send(Ask { only_check, answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}
