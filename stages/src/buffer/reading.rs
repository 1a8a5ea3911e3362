//! What a buffer reads from its store, one read at a time.

use std::sync::Arc;
use std::time::Duration;

use engine::backoff::Backoff;
use engine::store::{Limit, Loaded, Parked, Store, StoreError, Stored};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

/// How long to wait after a read that failed.
const AGAIN: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(2));

/// What was read.
pub(super) enum Read {
    /// Fresh webhooks, and the sequence up to which nothing fresh is left unread.
    Fresh(Vec<Stored>, u64),
    /// Webhooks that are due again, as far as they were read.
    Again(Loaded),
    /// The oldest dead letters.
    Oldest(Vec<Parked>),
}

/// The read in flight.
pub(super) struct Reading<S> {
    store: Arc<S>,
    read: Option<BoxFuture<'static, Result<Read, StoreError>>>,
    failures: u32,
    not_before: Option<Instant>,
}

impl<S: Store> Reading<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, read: None, failures: 0, not_before: None }
    }

    /// Returns true when a read may begin.
    pub(super) fn is_idle(&self) -> bool {
        self.read.is_none() && self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// Returns when a read may begin again after one that failed.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    pub(super) fn fresh(&mut self, after: u64, limit: Limit) {
        let store = Arc::clone(&self.store);
        let last = store.stats().last_sequence;
        self.begin(async move {
            let found = store.read(after, limit).await?;
            let upto = found.last().map_or(last.max(after), |stored| stored.sequence);
            Ok(Read::Fresh(found, upto))
        });
    }

    pub(super) fn again(&mut self, sequences: Vec<u64>, most: usize) {
        let store = Arc::clone(&self.store);
        self.begin(async move { Ok(Read::Again(store.load(sequences, most).await?)) });
    }

    pub(super) fn oldest(&mut self, max: usize) {
        let store = Arc::clone(&self.store);
        self.begin(async move { Ok(Read::Oldest(store.parked(0, max).await?)) });
    }

    /// Waits for the read in flight; for ever when there is none. Cancelling loses nothing.
    pub(super) async fn done(&mut self) -> Result<Read, StoreError> {
        let Some(read) = &mut self.read else { return std::future::pending().await };
        let result = read.await;
        self.read = None;
        self.failures = if result.is_ok() { 0 } else { self.failures.saturating_add(1) };
        self.not_before = result.is_err().then(|| Instant::now() + AGAIN.bound(self.failures));
        result
    }

    fn begin(&mut self, read: impl Future<Output = Result<Read, StoreError>> + Send + 'static) {
        self.read = Some(read.boxed());
    }
}
