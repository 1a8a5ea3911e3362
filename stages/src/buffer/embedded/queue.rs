//! What waits for the writer, gathered into groups.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::store::{Change, StoreError};
use engine::webhook::Webhook;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::index::Slot;

/// Requests that wait at most; further callers wait for room.
const ROOM: usize = 4_096;

/// When a group is full. One request may exceed it.
const GROUP_WEBHOOKS: usize = 1_024;
const GROUP_BYTES: usize = 4 << 20;

/// What somebody waits for.
pub(super) struct Request {
    pub(super) channel: u32,
    pub(super) work: Work,
    _room: OwnedSemaphorePermit,
}

pub(super) enum Work {
    Append(Vec<Webhook>, oneshot::Sender<Result<Vec<u64>, StoreError>>),
    Commit(Vec<Change>, oneshot::Sender<Result<(), StoreError>>),
    /// A reader found these damaged, at this place. The reply is dropped when it was looked into.
    Damaged(Vec<(u64, Slot)>, oneshot::Sender<()>),
}

impl Work {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Append(webhooks, _) => (webhooks.len(), webhooks.iter().map(Webhook::weight).sum()),
            Self::Commit(changes, _) => (0, changes.len() * super::entry::HEADER),
            Self::Damaged(..) => (0, 0),
        }
    }
}

/// The queue in front of the writer thread.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    room: Arc<Semaphore>,
    gather: Duration,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    webhooks: usize,
    bytes: usize,
    closed: bool,
    /// When the last group was taken, and how many webhooks it had.
    taken: Option<Instant>,
    last: usize,
}

impl Waiting {
    /// Returns true when waiting for more would not pay: a group is full, or has as many webhooks as the last one. So a
    /// lone sender never waits, and many who wait for their answers before they send more soon share a group.
    fn is_enough(&self) -> bool {
        self.closed || self.webhooks >= GROUP_WEBHOOKS.min(self.last.max(1)) || self.bytes >= GROUP_BYTES
    }

    fn take_group(&mut self) -> Vec<Request> {
        let (mut webhooks, mut bytes) = (0, 0);
        let mut group = Vec::new();
        while let Some(request) = self.requests.pop_front() {
            let (n, b) = request.work.size();
            (webhooks, bytes) = (webhooks + n, bytes + b);
            (self.webhooks, self.bytes) = (self.webhooks - n, self.bytes - b);
            group.push(request);
            if webhooks >= GROUP_WEBHOOKS || bytes >= GROUP_BYTES {
                break;
            }
        }
        (self.taken, self.last) = (Some(Instant::now()), webhooks);
        group
    }
}

impl Queue {
    pub(super) fn new(gather: Duration) -> Self {
        Self { waiting: Mutex::default(), bell: Condvar::new(), room: Arc::new(Semaphore::new(ROOM)), gather }
    }

    /// Puts a request in, waiting for room. Cancelling before it is in leaves nothing behind.
    ///
    /// # Errors
    /// The store was closed.
    pub(super) async fn push(&self, channel: u32, work: Work) -> Result<(), StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        let first = waiting.requests.is_empty();
        let (webhooks, bytes) = work.size();
        (waiting.webhooks, waiting.bytes) = (waiting.webhooks + webhooks, waiting.bytes + bytes);
        waiting.requests.push_back(Request { channel, work, _room: room });
        // While the writer gathers, only the first and what completes the group are worth waking it.
        if first || waiting.is_enough() {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Returns the next group: once enough waits, or the gathering time after the last group was taken. Returns an empty one
    /// at once when nothing waits and `idle` is false; none when the queue is closed and empty.
    pub(super) fn gather(&self, idle: bool) -> Option<Vec<Request>> {
        let mut waiting = self.lock();
        while waiting.requests.is_empty() {
            if waiting.closed {
                return None;
            }
            if !idle {
                return Some(Vec::new());
            }
            waiting = self.bell.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let end = waiting.taken.map_or_else(Instant::now, |taken| taken + self.gather);
        while !waiting.is_enough() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.bell.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(waiting.take_group())
    }

    /// Takes no more; what waits is still served.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    /// Takes no more and answers what waits with [`StoreError::Closed`], for a writer that ends.
    pub(super) fn abandon(&self) {
        self.room.close();
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.requests.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
