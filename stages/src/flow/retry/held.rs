//! Webhooks that wait for their next try.

use std::collections::BTreeMap;

use engine::ack::{Ack, Cause, Reason};
use engine::ledger::Window;
use engine::webhook::Webhook;
use tokio::time::Instant;

/// A webhook that is tried, with the duty to report upstream.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) webhook: Webhook,
    pub(super) ack: Ack,
    /// When it was taken.
    pub(super) taken: Instant,
    /// Tries that the destination refused for now.
    pub(super) failed: u32,
    /// Tries that found it unreachable.
    pub(super) unreachable: u32,
    /// How many others had been delivered when this one was last found slow, or taken.
    pub(super) mark: u64,
}

/// Why a webhook waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    pub(super) cause: Cause,
    pub(super) reason: Option<Reason>,
    /// Not before this, even when the route opens: the destination asked for it.
    pub(super) not_before: Option<Instant>,
}

/// Webhooks that wait, by when they are due.
#[derive(Debug)]
pub(super) struct Held {
    bound: Window,
    bytes: usize,
    next: u64,
    waiting: BTreeMap<(Instant, u64), Waiting>,
}

impl Held {
    /// Makes room for half of `window`.
    pub(super) fn half_of(window: Window) -> Self {
        let bound = Window { events: (window.events / 2).max(1), bytes: window.bytes / 2 };
        Self { bound, bytes: 0, next: 0, waiting: BTreeMap::new() }
    }

    /// Tells whether a webhook of `bytes` fits. One larger than the whole room fits when nothing else waits.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < self.bound.events
                && self.bytes.saturating_add(bytes) <= self.bound.bytes)
    }

    /// Keeps a webhook until `due`, the earlier ones first.
    pub(super) fn keep(&mut self, due: Instant, waiting: Waiting) {
        self.bytes += waiting.job.webhook.weight();
        self.waiting.insert((due, self.next), waiting);
        self.next += 1;
    }

    /// Walks everything that waits.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.waiting.values().map(|waiting| &waiting.job)
    }

    /// Returns when the first is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// Takes the first that is due at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Waiting> {
        let key = *self.waiting.keys().next().filter(|(due, _)| *due <= now)?;
        self.take(key)
    }

    /// Takes the one that was in vain least often, of those the one that is due first: a different one each time. One
    /// that was asked to wait looks only when there is no other.
    pub(super) fn take_probe(&mut self, now: Instant) -> Option<Waiting> {
        let rank =
            |waiting: &Waiting| (waiting.not_before.is_some_and(|at| at > now), waiting.job.unreachable);
        let key = *self.waiting.iter().min_by_key(|(key, waiting)| (rank(waiting), **key))?.0;
        self.take(key)
    }

    /// Makes those due at `now` that waited for the route, in the order they waited.
    pub(super) fn release(&mut self, now: Instant) {
        for ((due, at), waiting) in std::mem::take(&mut self.waiting) {
            let due = match waiting.cause {
                Cause::Unreachable => due.min(waiting.not_before.unwrap_or(now).max(now)),
                Cause::Failed | Cause::Lost => due,
            };
            self.waiting.insert((due, at), waiting);
        }
    }

    /// Takes all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values()
    }

    /// Says that those that wait are not forgotten.
    pub(super) fn progress(&self) {
        self.waiting.values().for_each(|waiting| waiting.job.ack.progress());
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self, key: (Instant, u64)) -> Option<Waiting> {
        let taken = self.waiting.remove(&key)?;
        self.bytes -= taken.job.webhook.weight();
        Some(taken)
    }
}
