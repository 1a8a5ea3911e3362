//! A store in memory that fails, stands still and counts as a test tells it, and remembers what it was asked.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use engine::store::{Change, Deferred, Limit, Loaded, Parked, Stats, Store, StoreError, Stored};
use engine::webhook::Webhook;

use super::Memory;

/// A store that follows a script.
#[derive(Default)]
pub(super) struct Scripted {
    memory: Memory,
    script: Mutex<Script>,
}

/// What a store does, and what it was asked.
#[derive(Default)]
pub(super) struct Script {
    /// What fails, by name.
    pub(super) failing: BTreeSet<&'static str>,
    /// New webhooks are never stored, and not refused either.
    pub(super) stands_still: bool,
    /// What the figures show instead.
    pub(super) shown: Option<fn(&mut Stats)>,
    /// What was committed, by commit.
    pub(super) commits: Vec<Vec<Change>>,
    /// What was read: after which sequence, and how much.
    pub(super) reads: Vec<(u64, Limit)>,
    /// What was loaded: which sequences, and how many bytes.
    pub(super) loads: Vec<(Vec<u64>, usize)>,
}

impl Scripted {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn may(&self, what: &'static str) -> Result<(), StoreError> {
        if self.script().failing.contains(what) {
            return Err(StoreError::Medium { what, error: "as the test wants it".to_owned() });
        }
        Ok(())
    }
}

impl Store for Scripted {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        self.may("append")?;
        if self.script().stands_still {
            std::future::pending::<()>().await;
        }
        self.memory.append(batch).await
    }

    async fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        self.script().reads.push((after, limit));
        self.may("read")?;
        self.memory.read(after, limit).await
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        self.script().loads.push((sequences.clone(), most));
        self.memory.load(sequences, most).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.may("commit")?;
        self.script().commits.push(changes.clone());
        self.memory.commit(changes).await
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        self.may("deferred")?;
        self.memory.deferred().await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        self.memory.parked(after, max).await
    }

    fn stats(&self) -> Stats {
        let mut stats = self.memory.stats();
        if let Some(show) = self.script().shown {
            show(&mut stats);
        }
        stats
    }
}
