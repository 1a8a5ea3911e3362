//! The closed list of metrics.
//!
//! Every metric is a variant of [`Metric`]; stages count through handles that cost one atomic addition. What a buffer
//! knows about its channel (depth, in flight, audit) is read from the buffer itself and not counted twice here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What is counted. Each name is documented where it is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Microseconds that senders waited at a full channel, by edge.
    EdgeBlockedMicros,
    /// Webhooks that a gate turned away, by edge and gate.
    Refused,
    /// Values that a gate took out of webhooks before they were stored, by edge and gate.
    Cleaned,
    /// Requests answered, by status.
    Answers,
    /// Deliveries that a destination confirmed, by stage.
    Confirmed,
    /// Deliveries that a destination did not take, by stage and cause.
    Unconfirmed,
    /// Tries repeated by a retry stage, by stage.
    Retries,
    /// Failures of best-effort links of a chain, by stage and link.
    BestEffort,
    /// Webhooks that a `dead_letter` destination took in place of their own, by stage.
    SetAside,
    /// Webhooks not delivered again because the destination had confirmed them before, by stage.
    Duplicates,
    /// Connections made or accepted, by channel.
    Connections,
    /// Messages of a peer that were not understood, by channel.
    NotUnderstood,
    /// Writes or reads of a store that failed, by channel.
    StoreErrors,
    /// Questions of a gate to another server that got no answer, by the source before the gate and by gate.
    LookupFailures,
    /// What was refused, dropped or forgotten because a bound was reached, by bound.
    Limits,
}

impl Metric {
    /// Returns the metric's name without prefix or unit suffix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EdgeBlockedMicros => "edge_blocked_micros",
            Self::Refused => "refused",
            Self::Cleaned => "cleaned",
            Self::Answers => "answers",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Retries => "retries",
            Self::BestEffort => "best_effort_failures",
            Self::SetAside => "set_aside",
            Self::Duplicates => "duplicates",
            Self::Connections => "connections",
            Self::NotUnderstood => "not_understood",
            Self::StoreErrors => "store_errors",
            Self::LookupFailures => "lookup_failures",
            Self::Limits => "limits",
        }
    }
}

impl Metric {
    /// Returns what the metric counts.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::EdgeBlockedMicros => {
                "Microseconds that senders waited at a full channel, by the stage behind it"
            }
            Self::Refused => "Webhooks that a gate turned away, by the stage behind it and by gate",
            Self::Cleaned => {
                "Values that a gate took out of webhooks before they were stored, by the stage behind it and by gate"
            }
            Self::Answers => "Requests answered, by status",
            Self::Confirmed => "Deliveries that a destination confirmed, by stage",
            Self::Unconfirmed => "Deliveries that a destination did not take, by stage and cause",
            Self::Retries => "Tries repeated by a retry stage, by stage",
            Self::BestEffort => "Failures of best-effort links, which hold nothing up, by stage and link",
            Self::SetAside => "Webhooks that a dead_letter destination took in place of their own, by stage",
            Self::Duplicates => "Webhooks not delivered again because they had been confirmed, by stage",
            Self::Connections => "Connections made or accepted, by channel",
            Self::NotUnderstood => "Messages of a peer that were not understood, by channel",
            Self::StoreErrors => "Writes or reads of a store that failed, by channel",
            Self::LookupFailures => {
                "Questions of a gate to another server without a usable answer, by the source before it and by gate"
            }
            Self::Limits => {
                "Webhooks, requests, connections refused or clients forgotten at a bound, by place and bound"
            }
        }
    }
}

/// What the parts of one metric are told apart by: a place (stage, edge, channel) and a kind, either may be empty.
type Labels = (String, String);

/// All counters of one process. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<BTreeMap<(Metric, Labels), Counter>>>);

/// One counter. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Returns the count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter {
    /// Returns the counter of `metric` at `place` and of `kind`, making it at the first call. Places and kinds come from
    /// configuration and code, never from what a peer sent, so their number is bounded.
    #[must_use]
    pub fn counter(&self, metric: Metric, place: &str, kind: &str) -> Counter {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.entry((metric, (place.to_owned(), kind.to_owned()))).or_default().clone()
    }

    /// Returns every counter with its place, kind and count, in order.
    #[must_use]
    pub fn counts(&self) -> Vec<(Metric, String, String, u64)> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters
            .iter()
            .map(|((metric, (place, kind)), n)| (*metric, place.clone(), kind.clone(), n.get()))
            .collect()
    }
}

/// What is measured at one edge. Cloning shares the counters.
#[derive(Clone, Debug)]
pub struct Edge {
    name: Arc<str>,
    meter: Meter,
    blocked: Counter,
}

impl Edge {
    /// Makes the meter of the edge into the stage `name`.
    #[must_use]
    pub fn new(meter: &Meter, name: &str) -> Self {
        let blocked = meter.counter(Metric::EdgeBlockedMicros, name, "");
        Self { name: name.into(), meter: meter.clone(), blocked }
    }

    /// Returns the counter of `metric` and of `kind` at this edge.
    #[must_use]
    pub fn counter(&self, metric: Metric, kind: &str) -> Counter {
        self.meter.counter(metric, &self.name, kind)
    }

    /// Counts a webhook that `gate` turned away.
    pub fn refused(&self, gate: &str) {
        self.meter.counter(Metric::Refused, &self.name, gate).add(1);
    }

    /// Starts to time a wait, which ends when the guard drops.
    #[must_use]
    pub fn blocked(&self) -> Blocked<'_> {
        Blocked { since: Instant::now(), counter: &self.blocked }
    }
}

/// Adds the time since it was made when it drops.
#[derive(Debug)]
pub struct Blocked<'a> {
    since: Instant,
    counter: &'a Counter,
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.counter.add(u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
}
