//! The buffer that keeps everything in memory: for tests and trials.
//!
//! Its 2xx is not durable, which a warning says at start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use engine::clock;
use engine::kind::{Build, Claim, Context, OpenError, Role, Stage};
use engine::limits::Limits;
use engine::store::{
    Change, Deferred, Limit, Loaded, ParkCause, Parked, Stats, Store, StoreError, Stored, Tries,
};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::warn;

/// Keep the webhooks of a channel in memory. For tests and trials: a restart loses them.
///
/// A webhook counts as accepted once it is in memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The channel whose webhooks are kept.
    channel: String,
    /// The bounds of the channel.
    #[serde(default)]
    limits: Limits,
}

impl Build for Settings {
    const NAME: &'static str = "memory";
    const ROLE: Role = Role::Buffer;

    fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim { what: "buffered channel", name: &self.channel, key: "channel" })
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        warn!(
            channel = self.channel,
            "the memory buffer is not durable: a restart loses what was answered 2xx"
        );
        let Self { channel, limits } = self;
        // Kept above the pipeline, so that one which is opened again finds what it held.
        let store = cx.resources.get_or_make(&channel, || Ok::<_, OpenError>(Memory::default()))?;
        Ok(super::stage(channel, limits, store, cx))
    }
}

/// A store in memory, of one channel.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    live: BTreeMap<u64, Entry>,
    parked: BTreeMap<u64, Parked>,
    stats: Stats,
}

#[derive(Debug)]
struct Entry {
    stored: Stored,
    /// None while it was never handed back.
    deferred: Option<Option<SystemTime>>,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        let mut state = self.state();
        Ok(batch.into_iter().map(|webhook| state.append(webhook)).collect())
    }

    async fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        let state = self.state();
        let mut bytes = 0;
        let fresh = state.live.range(after + 1..).filter(|(_, entry)| entry.deferred.is_none());
        let within = fresh.map(|(_, entry)| &entry.stored).enumerate().take_while(|(n, stored)| {
            bytes += stored.webhook.weight();
            *n == 0 || (*n < limit.events && bytes <= limit.bytes)
        });
        Ok(within.map(|(_, stored)| stored.clone()).collect())
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        let state = self.state();
        let (mut loaded, mut bytes) = (Loaded::default(), 0);
        for sequence in sequences {
            let live = state.live.get(&sequence).map(|entry| &entry.stored);
            match live.or_else(|| state.parked.get(&sequence).map(|parked| &parked.stored)) {
                Some(stored) => {
                    bytes += stored.webhook.weight();
                    if bytes > most && !loaded.stored.is_empty() {
                        break;
                    }
                    loaded.stored.push(stored.clone());
                }
                None => loaded.gone.push(sequence),
            }
        }
        Ok(loaded)
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut state = self.state();
        changes.into_iter().for_each(|change| state.apply(change));
        Ok(())
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        let state = self.state();
        let deferred = state.live.values().filter_map(|Entry { stored, deferred }| {
            let until = (*deferred)?;
            let received = stored.webhook.head.received;
            Some(Deferred { sequence: stored.sequence, tries: stored.tries, until, received })
        });
        Ok(deferred.collect())
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        Ok(self.state().parked.range(after + 1..).take(max).map(|(_, parked)| parked.clone()).collect())
    }

    fn stats(&self) -> Stats {
        let state = self.state();
        Stats { live: state.live.len() as u64, parked: state.parked.len() as u64, ..state.stats }
    }
}

impl State {
    fn append(&mut self, webhook: Webhook) -> u64 {
        let sequence = self.stats.last_sequence + 1;
        self.stats.last_sequence = sequence;
        self.stats.accepted += 1;
        self.stats.live_bytes += weight(&webhook);
        let stored = Stored { sequence, tries: Tries::default(), webhook };
        self.live.insert(sequence, Entry { stored, deferred: None });
        sequence
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Remove { sequence } => {
                if self.take_live(sequence).is_some() || self.take_parked(sequence).is_some() {
                    self.stats.delivered += 1;
                }
            }
            Change::Defer { sequence, tries, until } => {
                if let Some(entry) = self.live.get_mut(&sequence) {
                    entry.stored.tries = tries;
                    entry.deferred = Some(until);
                }
            }
            Change::Park { sequence, cause, reason, tries } => {
                if let Some(mut stored) = self.take_live(sequence) {
                    stored.tries = tries.unwrap_or(stored.tries);
                    *self.count(cause) += 1;
                    self.stats.parked_bytes += weight(&stored.webhook);
                    self.parked.insert(sequence, Parked { stored, cause, reason, at: clock::now() });
                }
            }
            Change::Redrive { sequence } => {
                if let Some(parked) = self.take_parked(sequence) {
                    let stored = Stored { tries: Tries::default(), ..parked.stored };
                    self.stats.live_bytes += weight(&stored.webhook);
                    self.live.insert(sequence, Entry { stored, deferred: Some(None) });
                }
            }
            Change::Purge { sequence } => {
                if self.take_live(sequence).is_some() || self.take_parked(sequence).is_some() {
                    self.stats.purged += 1;
                }
            }
        }
    }

    fn take_live(&mut self, sequence: u64) -> Option<Stored> {
        let entry = self.live.remove(&sequence)?;
        self.stats.live_bytes -= weight(&entry.stored.webhook);
        Some(entry.stored)
    }

    fn take_parked(&mut self, sequence: u64) -> Option<Parked> {
        let parked = self.parked.remove(&sequence)?;
        *self.count(parked.cause) -= 1;
        self.stats.parked_bytes -= weight(&parked.stored.webhook);
        Some(parked)
    }

    fn count(&mut self, cause: ParkCause) -> &mut u64 {
        match cause {
            ParkCause::DeadLettered => &mut self.stats.dead_lettered,
            ParkCause::Expired => &mut self.stats.expired,
            ParkCause::Dropped => &mut self.stats.dropped,
        }
    }
}

fn weight(webhook: &Webhook) -> u64 {
    webhook.weight() as u64
}
