//! New webhooks on their way into the store, within the bounds of the queue.

use std::sync::Arc;
use std::time::Duration;

use engine::ack::{Ack, Answer, Outcome};
use engine::limits::{Limits, Overflow};
use engine::store::{Store, StoreError};
use engine::webhook::{Event, Webhook};
use futures::FutureExt;
use futures::future::BoxFuture;

/// What a sender is asked to wait when its webhook cannot be stored.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Webhooks that one commit takes at most.
pub(super) const BATCH: usize = 1_024;

/// A commit of new webhooks in flight: gives their acks back, and what the store said.
type Append = BoxFuture<'static, (Vec<Ack>, Result<Vec<u64>, StoreError>)>;

/// The commit of new webhooks in flight. One at a time: what comes meanwhile goes with the next.
pub(super) struct Intake<S> {
    store: Arc<S>,
    append: Option<Append>,
}

/// What became of a batch.
pub(super) enum Taken {
    /// They are in the store now.
    Stored,
    /// The store refused; the senders were told.
    Failed(StoreError),
}

/// What a batch met at the bounds of the queue.
#[derive(Default)]
pub(super) struct Overflowing {
    /// Turned away.
    pub(super) refused: usize,
    /// How many of the oldest must go to make room.
    pub(super) displaced: usize,
}

impl<S: Store> Intake<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, append: None }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.append.is_none()
    }

    /// Starts to commit `batch`, turning away what exceeds the bounds of the queue.
    pub(super) fn take(&mut self, batch: &mut Vec<Event>, limits: &Limits) -> Overflowing {
        let stats = self.store.stats();
        let (mut events, mut bytes) = (stats.live, stats.live_bytes);
        let mut over = Overflowing::default();
        let (mut webhooks, mut acks) =
            (Vec::<Webhook>::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for Event { webhook, ack } in batch.drain(..) {
            let weight = u64::try_from(webhook.weight()).unwrap_or(u64::MAX);
            let full =
                events >= limits.max_queue_size || bytes.saturating_add(weight) > limits.max_queue_bytes;
            match limits.overflow {
                Overflow::Reject if full => {
                    over.refused += 1;
                    let answer = Answer::new(503, "the queue is full").retry_after(RETRY_AFTER);
                    ack.settle(Outcome::Refused { answer });
                    continue;
                }
                Overflow::DropOldest if full => over.displaced += 1,
                Overflow::Reject | Overflow::DropOldest => {}
            }
            events += 1;
            bytes = bytes.saturating_add(weight);
            webhooks.push(webhook);
            acks.push(ack);
        }
        if !webhooks.is_empty() {
            let store = Arc::clone(&self.store);
            self.append = Some(async move { (acks, store.append(webhooks).await) }.boxed());
        }
        over
    }

    /// Waits for the commit in flight and tells its senders; for ever when there is none. Cancelling loses nothing.
    pub(super) async fn taken(&mut self) -> Taken {
        let Some(append) = &mut self.append else { return std::future::pending().await };
        let (acks, result) = append.await;
        self.append = None;
        match result {
            Ok(_) => {
                acks.into_iter().for_each(|ack| ack.settle(Outcome::Delivered));
                Taken::Stored
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
