//! Changes of state on their way into the store.
//!
//! One commit is in flight at a time; what comes meanwhile goes with the next. A commit that failed is repeated, for ever:
//! repeating is safe, because a store ignores changes to what is already gone.

use std::sync::Arc;
use std::time::Duration;

use engine::backoff::Backoff;
use engine::store::{Change, Store, StoreError};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Changes that one commit takes at most.
const BATCH: usize = 4_096;

/// How long to wait after a commit that failed.
const AGAIN: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(2));

/// A commit in flight: gives its changes back, and what the store said.
type Commit = BoxFuture<'static, (Vec<Change>, Result<(), StoreError>)>;

/// Changes that wait for their commit, and the commit in flight.
pub(super) struct Changes<S> {
    store: Arc<S>,
    waiting: Vec<Change>,
    commit: Option<Commit>,
    failures: u32,
}

impl<S: Store> Changes<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, waiting: Vec::new(), commit: None, failures: 0 }
    }

    pub(super) fn push(&mut self, change: Change) {
        self.waiting.push(change);
    }

    /// Returns true when nothing waits and nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.commit.is_none()
    }

    /// Returns true when so much waits that nothing more should be handed out before some of it is durable.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting.len() > 4 * BATCH
    }

    /// Commits until nothing waits, then waits for ever. Returns after each commit: `Ok` or why it failed.
    /// Cancelling loses nothing.
    pub(super) async fn committed(&mut self) -> Result<(), StoreError> {
        if self.commit.is_none() {
            if self.waiting.is_empty() {
                return std::future::pending().await;
            }
            self.commit = Some(self.next_commit());
        }
        let Some(commit) = &mut self.commit else { return std::future::pending().await };
        let (changes, result) = commit.await;
        self.commit = None;
        match result {
            Ok(()) => {
                self.failures = 0;
                Ok(())
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.waiting.splice(0..0, changes);
                Err(error)
            }
        }
    }

    fn next_commit(&mut self) -> Commit {
        let rest = self.waiting.split_off(self.waiting.len().min(BATCH));
        let changes = std::mem::replace(&mut self.waiting, rest);
        let store = Arc::clone(&self.store);
        let pause = if self.failures == 0 { Duration::ZERO } else { AGAIN.bound(self.failures) };
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let result = store.commit(changes.clone()).await;
            (changes, result)
        }
        .boxed()
    }
}
