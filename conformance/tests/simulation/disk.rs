//! The simulated disk: a store per channel whose commits take time, fail, and survive a crash whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use engine::limits::{Limits, Overflow};
use engine::store::{Change, Deferred, Limit, Loaded, Parked, Stats, Store, StoreError, Stored};
use engine::webhook::Webhook;
use engine::{clock, store::ParkCause};
use rand::Rng;
use rand::rngs::StdRng;
use stages::buffer::Memory;

use crate::checks::{Book, number};

/// Whether a process still lives. One that does not writes nothing, sends nothing and calls nobody.
pub(crate) type Life = Arc<AtomicBool>;

/// What survives crashes.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) book: Arc<Book>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    channels: BTreeMap<String, Arc<Memory>>,
    random: StdRng,
    /// Writes that have begun and not ended, by number.
    begun: BTreeMap<u64, (String, Write)>,
    writes: u64,
    /// Webhooks that were refused and lie on the disk all the same, to be found after a crash.
    torn: Vec<(String, Write)>,
    full: bool,
}

#[derive(Clone, Debug)]
enum Write {
    Append(Vec<Webhook>),
    Commit(Vec<Change>),
}

/// One channel's store, as one life of the receiver has it.
pub(crate) struct Channel {
    disk: Arc<Disk>,
    name: String,
    limits: Limits,
    memory: Arc<Memory>,
    life: Life,
}

impl Disk {
    pub(crate) fn new(book: Arc<Book>, random: StdRng) -> Self {
        let (channels, begun, torn) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { book, state: Mutex::new(State { channels, random, begun, writes: 0, torn, full: false }) }
    }

    /// Opens one channel's store.
    pub(crate) fn open(self: &Arc<Self>, name: String, limits: Limits, life: Life) -> Channel {
        let memory = Arc::clone(self.lock().channels.entry(name.clone()).or_default());
        Channel { disk: Arc::clone(self), name, limits, memory, life }
    }

    pub(crate) fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// The receiver has died: of what was being written, some is there and the rest is not.
    pub(crate) async fn crash(&self) {
        let found: Vec<(String, Write)> = {
            let mut state = self.lock();
            let (begun, torn) = (std::mem::take(&mut state.begun), std::mem::take(&mut state.torn));
            let all: Vec<_> = begun.into_values().chain(torn).collect();
            all.into_iter().filter(|_| state.random.random_bool(0.5)).collect()
        };
        for (name, write) in found {
            let memory = Arc::clone(self.lock().channels.entry(name).or_default());
            self.apply(&memory, write).await;
        }
    }

    /// Returns the numbers of all webhooks that some store has, queued or parked.
    pub(crate) async fn kept(&self) -> BTreeSet<u32> {
        let channels: Vec<_> = self.lock().channels.values().cloned().collect();
        let mut kept = BTreeSet::new();
        for memory in channels {
            let all = (1..=memory.stats().last_sequence).collect();
            let loaded = memory.load(all, usize::MAX).await.unwrap_or_default();
            kept.extend(loaded.stored.iter().map(|stored| number(&stored.webhook)));
        }
        kept
    }

    async fn apply(&self, memory: &Memory, write: Write) -> Vec<u64> {
        let sequences = match write {
            Write::Append(batch) => {
                let sequences = memory.append(batch.clone()).await.unwrap();
                for (webhook, sequence) in batch.iter().zip(&sequences) {
                    self.book.committed(webhook, *sequence);
                }
                sequences
            }
            Write::Commit(changes) => {
                for change in &changes {
                    self.check(memory, change).await;
                }
                memory.commit(changes).await.unwrap();
                Vec::new()
            }
        };
        let stats = memory.stats();
        if stats.imbalance() != 0 {
            self.book.violated(format!("G15: the audit does not balance: {stats:?}"));
        }
        sequences
    }

    /// Enters into the book what a change does to its webhook.
    async fn check(&self, memory: &Memory, change: &Change) {
        let (Change::Remove { sequence } | Change::Park { sequence, .. } | Change::Purge { sequence }) =
            change
        else {
            return;
        };
        let loaded = memory.load(vec![*sequence], usize::MAX).await.unwrap();
        let Some(stored) = loaded.stored.first() else { return };
        let number = number(&stored.webhook);
        match change {
            Change::Remove { .. } => self.book.removed(number),
            Change::Park { cause, reason, .. } => self.book.parked(number, *cause, reason),
            Change::Purge { .. } => self.book.violated(format!("G2: #{number} is purged")),
            Change::Defer { .. } | Change::Redrive { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Channel {
    /// Takes the time of a write, and perhaps fails. A process that died meanwhile never hears of it.
    async fn write(&self, write: Write) -> Result<Vec<u64>, StoreError> {
        let (at, takes) = {
            let mut state = self.disk.lock();
            let slow = state.random.random_bool(0.02);
            let micros = if slow { 20_000..300_000 } else { 200..6_000 };
            let takes = Duration::from_micros(state.random.random_range(micros));
            state.writes += 1;
            let at = state.writes;
            state.begun.insert(at, (self.name.clone(), write.clone()));
            (at, takes)
        };
        tokio::time::sleep(takes).await;
        self.live().await;
        {
            let mut state = self.disk.lock();
            state.begun.remove(&at);
            // Changes need little room, and find it more often than webhooks.
            let refused = state.full && (matches!(write, Write::Append(_)) || state.random.random_bool(0.3));
            if refused {
                if matches!(write, Write::Append(_)) && state.random.random_bool(0.3) {
                    state.torn.push((self.name.clone(), write));
                }
                return Err(StoreError::Medium { what: "write", error: "the disk is full".to_owned() });
            }
        }
        self.check_bounds(&write);
        Ok(self.disk.apply(&self.memory, write).await)
    }

    /// The queue is bounded, before every append.
    fn check_bounds(&self, write: &Write) {
        let Write::Append(batch) = write else { return };
        if self.limits.overflow == Overflow::DropOldest {
            return;
        }
        let (stats, weight) = (self.memory.stats(), batch.iter().map(Webhook::weight).sum::<usize>());
        let (live, bytes) = (stats.live + batch.len() as u64, stats.live_bytes + weight as u64);
        if live > self.limits.max_queue_size || bytes > self.limits.max_queue_bytes {
            self.disk.book.violated(format!("G8: {live} webhooks of {bytes} bytes in the queue"));
        }
    }

    /// Waits for ever when the process is dead.
    async fn live(&self) {
        if !self.life.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    async fn read_takes(&self) {
        let micros = self.disk.lock().random.random_range(50..2_000);
        tokio::time::sleep(Duration::from_micros(micros)).await;
        self.live().await;
    }
}

impl Store for Channel {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        self.write(Write::Append(batch)).await
    }

    async fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        self.read_takes().await;
        self.memory.read(after, limit).await
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        self.read_takes().await;
        self.memory.load(sequences, most).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        for change in &changes {
            if let Change::Park { sequence, cause: ParkCause::Expired, .. } = change {
                self.check_expiry(*sequence).await;
            }
        }
        self.write(Write::Commit(changes)).await.map(drop)
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        self.read_takes().await;
        self.memory.deferred().await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        self.read_takes().await;
        self.memory.parked(after, max).await
    }

    fn stats(&self) -> Stats {
        self.memory.stats()
    }
}

impl Channel {
    /// Nothing expires before its time.
    async fn check_expiry(&self, sequence: u64) {
        let loaded = self.memory.load(vec![sequence], usize::MAX).await.unwrap_or_default();
        let Some(stored) = loaded.stored.first() else { return };
        let age = clock::now().duration_since(stored.webhook.head.received).unwrap_or_default();
        if age < self.limits.ttl() {
            let number = number(&stored.webhook);
            self.disk.book.violated(format!("G12: #{number} expires at the age of {age:?}"));
        }
    }
}
