//! One channel's buffer: what a store promises to the driver that owns it.
//!
//! A store keeps webhooks, their state and the audit counters. It chooses nothing: which webhook goes to whom, when one
//! expires and when one is given up are the driver's business (`stages::buffer`).

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use crate::webhook::Webhook;

/// Keeps the webhooks of one channel.
///
/// The audit: `accepted = delivered + live + dead_lettered + expired + dropped + purged`, where a parked webhook counts
/// in its cause. `live` is counted from what is there and the others are counters, so that a fault shows.
pub trait Store: Send + Sync + 'static {
    /// Commits `batch` and returns the sequences given, in order. All or nothing; durable when it returns.
    ///
    /// # Errors
    /// Nothing of the batch counts as accepted. It may still be found after a crash, under its own ids.
    fn append(&self, batch: Vec<Webhook>) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send;

    /// Returns queued webhooks (neither deferred nor parked) with a sequence above `after`, in order. At least one is
    /// returned if there is any; damaged ones are left out, counted and reported by the store.
    ///
    /// # Errors
    /// The store cannot be read at the moment.
    fn read(&self, after: u64, limit: Limit) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;

    /// Returns webhooks by sequence, whatever their state, until their bytes exceed `most`; the first however large.
    ///
    /// # Errors
    /// The store cannot be read at the moment.
    fn load(
        &self,
        sequences: Vec<u64>,
        most: usize,
    ) -> impl Future<Output = Result<Loaded, StoreError>> + Send;

    /// Applies `changes` and the counters they imply as one, durable when it returns. A change that names a sequence
    /// which is already gone is ignored, so repeating a commit that failed is safe.
    ///
    /// # Errors
    /// Nothing was applied; the caller repeats it.
    fn commit(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns what is deferred, for the driver that opens the channel.
    ///
    /// # Errors
    /// The store cannot be read at the moment.
    fn deferred(&self) -> impl Future<Output = Result<Vec<Deferred>, StoreError>> + Send;

    /// Returns up to `max` parked webhooks with a sequence above `after`, oldest first.
    ///
    /// # Errors
    /// The store cannot be read at the moment.
    fn parked(&self, after: u64, max: usize) -> impl Future<Output = Result<Vec<Parked>, StoreError>> + Send;

    /// Returns the figures of this moment, read in one snapshot.
    fn stats(&self) -> Stats;
}

impl<S: Store> Store for Arc<S> {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        S::append(self, batch).await
    }

    async fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        S::read(self, after, limit).await
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        S::load(self, sequences, most).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        S::commit(self, changes).await
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        S::deferred(self).await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        S::parked(self, after, max).await
    }

    fn stats(&self) -> Stats {
        S::stats(self)
    }
}

/// How much to read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Webhooks.
    pub events: usize,
    /// Bytes of bodies and heads; the first webhook is returned however large.
    pub bytes: usize,
}

/// What a load found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The webhooks that are there.
    pub stored: Vec<Stored>,
    /// Those that were asked for and are gone.
    pub gone: Vec<u64>,
}

/// A webhook in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the channel.
    pub sequence: u64,
    /// Deliveries begun so far, as far as the store was told.
    pub tries: Tries,
    /// The webhook; its transit is for the driver to fill.
    pub webhook: Webhook,
}

/// How often a webhook was handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Deliveries begun.
    pub begun: u32,
    /// Those of them that count towards `max_deliveries`: failed, lost or overdue ones.
    pub counted: u32,
}

/// A webhook that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// Its place in the channel.
    pub sequence: u64,
    /// Deliveries begun so far.
    pub tries: Tries,
    /// Not before this time; none means at once.
    pub until: Option<SystemTime>,
    /// When it was received.
    pub received: SystemTime,
}

/// A webhook in the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The webhook.
    pub stored: Stored,
    /// Which figure counts it.
    pub cause: ParkCause,
    /// Why, in words.
    pub reason: String,
    /// When it was parked.
    pub at: SystemTime,
}

/// Which figure counts a parked webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkCause {
    /// Rejected, or delivered too often.
    DeadLettered,
    /// Older than its TTL.
    Expired,
    /// The oldest of a full queue under `drop_oldest`.
    Dropped,
}

impl ParkCause {
    /// Returns the word used in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLettered => "dead_lettered",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was delivered: counts as delivered and is forgotten. A parked one is taken out of its cause.
    Remove {
        /// Its place in the channel.
        sequence: u64,
    },
    /// It goes again: not before `until`.
    Defer {
        /// Its place in the channel.
        sequence: u64,
        /// Deliveries begun so far.
        tries: Tries,
        /// Not before this time; none means at once.
        until: Option<SystemTime>,
    },
    /// Into the dead letters.
    Park {
        /// Its place in the channel.
        sequence: u64,
        /// Which figure counts it.
        cause: ParkCause,
        /// Why, in words.
        reason: String,
        /// Deliveries begun so far; none leaves the count as the store has it.
        tries: Option<Tries>,
    },
    /// Out of the dead letters, back into the queue as deferred until now, deliveries counted anew.
    Redrive {
        /// Its place in the channel.
        sequence: u64,
    },
    /// Thrown away by an operator or by the bound of the dead letters: counts as purged, not in its cause any more.
    Purge {
        /// Its place in the channel.
        sequence: u64,
    },
}

/// The figures of one channel's store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Webhooks committed, ever.
    pub accepted: u64,
    /// Webhooks removed as delivered, ever.
    pub delivered: u64,
    /// In the dead letters because rejected or delivered too often.
    pub dead_lettered: u64,
    /// In the dead letters because older than their TTL.
    pub expired: u64,
    /// In the dead letters because the queue was full.
    pub dropped: u64,
    /// Thrown away, ever.
    pub purged: u64,
    /// Queued, deferred and in flight, counted from what is there.
    pub live: u64,
    /// Bytes of those.
    pub live_bytes: u64,
    /// In the dead letters, counted from what is there.
    pub parked: u64,
    /// Bytes of those.
    pub parked_bytes: u64,
    /// Found damaged and set aside since the store was opened.
    pub quarantined: u64,
    /// The last sequence given.
    pub last_sequence: u64,
}

impl Stats {
    /// Returns by how much the audit does not balance: 0 when it does, positive when webhooks are missing.
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let out = [self.delivered, self.live, self.dead_lettered, self.expired, self.dropped, self.purged];
        i128::from(self.accepted) - out.iter().map(|n| i128::from(*n)).sum::<i128>()
    }
}

/// A store that could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium refused: full, read-only, broken. Trying again may help.
    #[error("{what}: {error}")]
    Medium {
        /// What was being done.
        what: &'static str,
        /// What the operating system or the server said.
        error: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
