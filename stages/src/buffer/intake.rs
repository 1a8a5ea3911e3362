//! New webhooks on their way into the store, within the bounds of the queue.

use std::sync::Arc;
use std::time::Duration;

use super::taps::Taps;
use engine::ack::{Ack, Answer, Outcome};
use engine::limits::{Limits, Overflow};
use engine::store::{Store, StoreError};
use engine::webhook::{Event, Webhook};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

/// What a sender is asked to wait when its webhook cannot be stored.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Webhooks that one commit takes at most.
pub(super) const BATCH: usize = 1_024;

/// Commits in flight at most. The store puts those together that wait for it, so each may be small.
const COMMITS: usize = 64;

/// A commit of new webhooks in flight.
type Append = BoxFuture<'static, Appended>;

/// A commit of new webhooks that has ended.
struct Appended {
    acks: Vec<Ack>,
    /// What taps are shown of them.
    copies: Vec<Webhook>,
    /// What they weigh.
    bytes: u64,
    /// How many of the oldest must go to make room for them.
    displaced: usize,
    result: Result<Vec<u64>, StoreError>,
}

/// The commits of new webhooks in flight.
pub(super) struct Intake<S> {
    store: Arc<S>,
    appends: FuturesUnordered<Append>,
    /// Webhooks in flight to the store, which its figures do not have yet.
    events: u64,
    bytes: u64,
    /// Those who watch the channel.
    pub(super) taps: Taps,
}

/// What became of a batch.
pub(super) enum Taken {
    /// They are in the store now, and so many of the oldest must go to make room.
    Stored(usize),
    /// The store refused; the senders were told.
    Failed(StoreError),
}

impl<S: Store> Intake<S> {
    pub(super) fn new(store: Arc<S>, taps: Taps) -> Self {
        Self { store, appends: FuturesUnordered::new(), events: 0, bytes: 0, taps }
    }

    /// Returns true when nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.appends.is_empty()
    }

    /// Returns true when another commit may begin.
    pub(super) fn has_room(&self) -> bool {
        self.appends.len() < COMMITS
    }

    /// Starts to commit `batch`, turning away or displacing what exceeds the bounds of the queue. Returns how many met them.
    pub(super) fn take(&mut self, batch: &mut Vec<Event>, limits: &Limits) -> usize {
        let stats = self.store.stats();
        let (mut events, mut bytes) = (stats.live + self.events, stats.live_bytes.saturating_add(self.bytes));
        let mut taken_bytes = 0;
        let (mut refused, mut displaced) = (0, 0);
        let (mut webhooks, mut acks) =
            (Vec::<Webhook>::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for Event { webhook, ack } in batch.drain(..) {
            let weight = u64::try_from(webhook.weight()).unwrap_or(u64::MAX);
            let full =
                events >= limits.max_queue_size || bytes.saturating_add(weight) > limits.max_queue_bytes;
            match limits.overflow {
                Overflow::Reject if full => {
                    refused += 1;
                    let answer = Answer::new(503, "the queue is full").retry_after(RETRY_AFTER);
                    ack.settle(Outcome::Refused { answer });
                    continue;
                }
                Overflow::DropOldest if full => displaced += 1,
                Overflow::Reject | Overflow::DropOldest => {}
            }
            events += 1;
            bytes = bytes.saturating_add(weight);
            taken_bytes += weight;
            webhooks.push(webhook);
            acks.push(ack);
        }
        if !webhooks.is_empty() {
            let store = Arc::clone(&self.store);
            (self.events, self.bytes) = (self.events + webhooks.len() as u64, self.bytes + taken_bytes);
            let copies = self.taps.copies(&webhooks);
            let append = async move {
                let result = store.append(webhooks).await;
                Appended { acks, copies, bytes: taken_bytes, displaced, result }
            };
            self.appends.push(append.boxed());
        }
        refused + displaced
    }

    /// Waits until a commit in flight has ended and tells the senders of all that have; for ever when there is none.
    /// Cancelling loses nothing.
    pub(super) async fn taken(&mut self) -> Taken {
        let Some(first) = self.appends.next().await else { return std::future::pending().await };
        let mut taken = self.tell(first);
        // The store ends many at once: one look at the rest of the buffer is enough for all of them.
        while let Some(Some(next)) = self.appends.next().now_or_never() {
            taken = match (taken, self.tell(next)) {
                (Taken::Stored(one), Taken::Stored(other)) => Taken::Stored(one + other),
                (Taken::Stored(_), failed) | (failed, _) => failed,
            };
        }
        taken
    }

    fn tell(&mut self, Appended { acks, copies, bytes, displaced, result }: Appended) -> Taken {
        (self.events, self.bytes) = (self.events - acks.len() as u64, self.bytes - bytes);
        match result {
            Ok(sequences) => {
                self.taps.show(copies, &sequences);
                acks.into_iter().for_each(|ack| ack.settle(Outcome::Delivered));
                Taken::Stored(displaced)
            }
            Err(error) => {
                for ack in acks {
                    let answer =
                        Answer::new(503, "the webhook cannot be stored now").retry_after(RETRY_AFTER);
                    ack.settle(Outcome::Refused { answer });
                }
                Taken::Failed(error)
            }
        }
    }
}
