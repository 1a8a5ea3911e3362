//! Watching a channel: every webhook from now on, whoever delivers it.
//!
//! A buffer feeds each tap what it has committed. Between the two lies a bounded queue: what finds it full is not kept, and
//! the tap is told how much it missed. A tap holds nobody back, and nothing it does counts for a webhook.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::webhook::Webhook;

/// Webhooks that wait for one tap at most.
const EVENTS: usize = 1_000;

/// Bytes that wait for one tap at most. A larger webhook passes alone.
const BYTES: usize = 16 << 20;

/// Where a tap's webhooks come from. Dropping it ends the watching.
#[derive(Debug)]
pub struct Tap(Arc<Shared>);

/// Where a tap's webhooks go to.
#[derive(Debug)]
pub struct Feed(Arc<Shared>);

/// What a tap missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How many webhooks.
    pub count: u64,
    /// The lowest sequence among them.
    pub first: u64,
    /// The highest sequence among them.
    pub last: u64,
}

/// What a tap gets at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// What was missed before these webhooks.
    pub missed: Option<Missed>,
    /// Webhooks in the order in which they were committed.
    pub webhooks: Vec<Webhook>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    events: usize,
    bytes: usize,
    ended: bool,
    unwatched: bool,
}

#[derive(Debug)]
enum Item {
    Webhook(Webhook),
    Missed(Missed),
}

/// Makes both ends.
#[must_use]
pub fn tap() -> (Feed, Tap) {
    let shared = Arc::new(Shared::default());
    (Feed(Arc::clone(&shared)), Tap(shared))
}

impl Feed {
    /// Gives the tap a webhook, or notes that it missed it.
    pub fn push(&self, webhook: &Webhook) {
        let mut state = self.0.state();
        let (weight, sequence) = (webhook.weight(), webhook.transit.sequence);
        let fits = state.events < EVENTS && state.bytes.saturating_add(weight) <= BYTES;
        if fits || state.events == 0 {
            state.events += 1;
            state.bytes += weight;
            state.queue.push_back(Item::Webhook(webhook.clone()));
        } else if let Some(Item::Missed(missed)) = state.queue.back_mut() {
            missed.count += 1;
            missed.first = missed.first.min(sequence);
            missed.last = missed.last.max(sequence);
        } else {
            state.queue.push_back(Item::Missed(Missed { count: 1, first: sequence, last: sequence }));
        }
        drop(state);
        self.0.bell.notify_one();
    }

    /// Returns true while somebody watches.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !self.0.state().unwatched
    }
}

impl Tap {
    /// Waits for something to see and returns up to `events` webhooks of about `bytes` together; none once the buffer has
    /// ended. Cancelling loses nothing.
    pub async fn next(&mut self, events: usize, bytes: usize) -> Option<Watched> {
        loop {
            {
                let mut state = self.0.state();
                if !state.queue.is_empty() {
                    return Some(state.take(events, bytes));
                }
                if state.ended {
                    return None;
                }
            }
            self.0.bell.notified().await;
        }
    }
}

impl State {
    fn take(&mut self, events: usize, bytes: usize) -> Watched {
        let (mut watched, mut taken) = (Watched::default(), 0);
        while let Some(item) = self.queue.pop_front() {
            match item {
                Item::Missed(missed) if watched.webhooks.is_empty() && watched.missed.is_none() => {
                    watched.missed = Some(missed);
                }
                Item::Webhook(webhook)
                    if watched.webhooks.is_empty() || (watched.webhooks.len() < events && taken < bytes) =>
                {
                    taken += webhook.weight();
                    self.events -= 1;
                    self.bytes -= webhook.weight();
                    watched.webhooks.push(webhook);
                }
                other => {
                    self.queue.push_front(other);
                    break;
                }
            }
        }
        watched
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.bell.notify_one();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unwatched = true;
        state.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;
    use crate::webhook::{Head, Id, from_micros};
    use bytes::Bytes;

    fn webhook(sequence: u64, size: usize) -> Webhook {
        let head = Head {
            id: Id([1; 16]),
            webhook: "w".into(),
            received: from_micros(1),
            source: [127, 0, 0, 1].into(),
            method: "POST".into(),
            target: "/".into(),
            headers: Headers::default(),
        };
        let mut webhook = Webhook::new(head, Bytes::from(vec![0; size]));
        webhook.transit.sequence = sequence;
        webhook
    }

    #[tokio::test]
    async fn a_tap_that_does_not_look_is_told_what_it_missed_where_it_missed_it() {
        let (feed, mut tap) = tap();
        for sequence in 1..=EVENTS as u64 + 3 {
            feed.push(&webhook(sequence, 1));
        }
        let first = tap.next(EVENTS, BYTES).await.unwrap();
        assert_eq!((first.missed, first.webhooks.len()), (None, EVENTS));
        feed.push(&webhook(2_000, 1));
        let missed = Missed { count: 3, first: 1_001, last: 1_003 };
        let wanted = Watched { missed: Some(missed), webhooks: vec![webhook(2_000, 1)] };
        assert_eq!(tap.next(EVENTS, BYTES).await, Some(wanted));
        drop(feed);
        assert_eq!(tap.next(EVENTS, BYTES).await, None);
    }

    #[test]
    fn bytes_are_bounded_and_one_larger_webhook_passes_alone() {
        let (feed, tap) = tap();
        feed.push(&webhook(1, BYTES + 1));
        feed.push(&webhook(2, 1));
        let state = tap.0.state();
        assert_eq!((state.events, state.queue.len()), (1, 2));
        drop(state);
        assert!(feed.is_watched());
        drop(tap);
        assert!(!feed.is_watched());
    }
}
