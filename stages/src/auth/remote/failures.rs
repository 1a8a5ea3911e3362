//! What is counted and told when a server that a gate asks gives no usable answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::kind::Context;
use engine::meter::{Counter, Metric};
use tokio::time::Instant;
use tracing::{info, warn};

/// How often a server that keeps failing is told about.
const TOLD: Duration = Duration::from_secs(30);

/// Counts and tells when a server gives no usable answer.
pub(in crate::auth) struct Failures {
    gate: &'static str,
    source: Arc<str>,
    count: Counter,
    /// Since when there is none, and when that was told last.
    row: Mutex<Option<Row>>,
}

/// Failures in a row.
struct Row {
    since: Instant,
    told: Instant,
}

impl Failures {
    /// Makes the account of a gate behind the source that `cx` is of.
    pub(in crate::auth) fn of(gate: &'static str, cx: &Context) -> Self {
        let count = cx.meter.counter(Metric::LookupFailures, &cx.name, gate);
        Self { gate, source: cx.name.clone(), count, row: Mutex::default() }
    }

    /// Counts a failure, and tells the first one in a row and then one now and again.
    pub(in crate::auth) fn failed(&self, error: &str) {
        self.count.add(1);
        let now = Instant::now();
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        let told = row.as_ref().map(|row| row.told);
        if told.is_some_and(|told| now.duration_since(told) < TOLD) {
            return;
        }
        let since = row.as_ref().map_or(now, |row| row.since);
        *row = Some(Row { since, told: now });
        let (source, gate, failures) = (&self.source, self.gate, self.count.get());
        warn!(%source, gate, error, failures, "a gate gets no usable answer from the server it asks");
    }

    /// Says that there was a usable answer.
    pub(in crate::auth) fn succeeded(&self) {
        let ended = self.row.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(row) = ended {
            let (source, gate, after) = (&self.source, self.gate, row.since.elapsed().as_secs());
            info!(%source, gate, seconds = after, "the server that a gate asks answers again");
        }
    }
}
