//! A driver that does not run: a test calls its parts one by one, and looks at what they left.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::clock::{self, Simulated};
use engine::kind::Context;
use engine::ledger::Window;
use engine::limits::Limits;
use engine::store::{Change, Limit, Store, Stored, Tries};
use engine::supply::Carries;
use engine::webhook::Event;
use tokio::sync::{mpsc, watch};

use super::super::Buffer;
use super::super::driver::Driver;
use super::super::sessions::Sessions;
use super::store::Scripted;
use super::webhook;

/// A driver that does not run, on a time of day that passes with the paused clock.
pub(super) struct Bare {
    driver: Driver<Arc<Scripted>>,
    pub(super) store: Arc<Scripted>,
    pub(super) stop: watch::Sender<bool>,
    _simulated: Simulated,
}

/// A session, as whoever attached it holds it.
pub(super) struct Taker {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) window: watch::Sender<Window>,
}

impl Bare {
    pub(super) fn new(limits: Limits) -> Self {
        let simulated = clock::simulate(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        let (stop, stopped) = watch::channel(false);
        let store = Arc::<Scripted>::default();
        let cx = Context::new("buffer", stopped);
        let driver = Driver::new(Buffer { channel: "c".to_owned(), limits, store: Arc::clone(&store), cx });
        Self { driver, store, stop, _simulated: simulated }
    }

    /// Puts webhooks into the store that were received so many seconds ago.
    pub(super) async fn append(&self, ages: &[u64]) -> Vec<Stored> {
        let received = |age: &u64| clock::now() - Duration::from_secs(*age);
        let batch: Vec<_> = ages.iter().map(|age| webhook("{}", received(age))).collect();
        let sequences = self.store.append(batch.clone()).await.unwrap();
        let stored = sequences.into_iter().zip(batch);
        stored.map(|(sequence, webhook)| Stored { sequence, tries: Tries::default(), webhook }).collect()
    }

    pub(super) fn attach(&mut self, window: Window, carries: Option<Carries>) -> Taker {
        attach(&mut self.sessions, window, carries)
    }

    /// Reads from a store that fails.
    pub(super) async fn read_fails(&mut self) {
        self.reading.fresh(0, Limit { events: 1, bytes: 1 });
        assert!(self.reading.done().await.is_err());
    }

    /// Commits what waits, and returns it.
    pub(super) async fn changed(&mut self) -> Vec<Change> {
        if !self.changes.is_empty() {
            self.changes.committed().await.unwrap();
        }
        std::mem::take(&mut self.store.script().commits).concat()
    }
}

impl Deref for Bare {
    type Target = Driver<Arc<Scripted>>;

    fn deref(&self) -> &Self::Target {
        &self.driver
    }
}

impl DerefMut for Bare {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.driver
    }
}

pub(super) fn attach(sessions: &mut Sessions, window: Window, carries: Option<Carries>) -> Taker {
    let (events, taken) = mpsc::channel(100);
    let (changes, changed) = watch::channel(window);
    sessions.attach("s".to_owned(), changed, events, carries);
    Taker { events: taken, window: changes }
}
