//! What one connection holds: webhooks its connector has and has not settled, by the session's numbers and by message id.
//!
//! Each channel knows its holders, so that an acknowledgement may arrive by any connection of the channel.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engine::ack::{Ack, Outcome};
use engine::ledger::Window;
use engine::webhook::{Event, Id, Webhook};
use tokio::time::Instant;

/// Webhooks that one connector has and has not settled. Dropping it returns them to the channel.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Names the connection.
    pub(crate) name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    bytes: usize,
    held: BTreeMap<u64, Held>,
    by_id: HashMap<Id, u64>,
    heard: Instant,
    /// Whether the connector is expected to give signs of life.
    lively: bool,
}

#[derive(Debug)]
struct Held {
    id: Id,
    weight: usize,
    ack: Ack,
    /// When it was handed over or last showed progress.
    since: Instant,
}

/// What a connector means by a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Webhooks by the session's numbers.
    Seqs(RangeInclusive<u64>),
    /// A webhook by its message id.
    Message(Id),
}

impl Holder {
    /// Makes a holder of nothing.
    pub(crate) fn new(name: String, lively: bool) -> Self {
        let state = State {
            next: 0,
            bytes: 0,
            held: BTreeMap::new(),
            by_id: HashMap::new(),
            heard: Instant::now(),
            lively,
        };
        Self { name, state: Mutex::new(state) }
    }

    /// Keeps the duty of a webhook and returns the number it has from now on.
    pub(crate) fn hold(&self, Event { webhook, ack }: Event) -> (u64, Webhook) {
        let mut state = self.state();
        let (seq, id, weight) = (state.next, webhook.id(), webhook.weight());
        state.next += 1;
        state.bytes += weight;
        state.by_id.insert(id, seq);
        state.held.insert(seq, Held { id, weight, ack, since: Instant::now() });
        (seq, webhook)
    }

    /// Numbers a webhook whose outcome counts for nobody.
    pub(crate) fn number(&self) -> u64 {
        let mut state = self.state();
        state.next += 1;
        state.next - 1
    }

    /// Settles what is held of `which`; returns whether anything was.
    pub(crate) fn settle(&self, which: &Which, outcome: &Outcome) -> bool {
        let taken = self.take(which);
        let any = !taken.is_empty();
        taken.into_iter().for_each(|held| held.ack.settle(outcome.clone()));
        any
    }

    /// Notes that what is held of `which` is still being worked on; returns whether anything is.
    pub(crate) fn progress(&self, which: &Which) -> bool {
        let mut state = self.state();
        let range = match which {
            Which::Seqs(range) => range.clone(),
            Which::Message(id) => match state.by_id.get(id) {
                Some(seq) => *seq..=*seq,
                None => return false,
            },
        };
        let (mut any, now) = (false, Instant::now());
        for (_, held) in state.held.range_mut(range) {
            held.ack.progress();
            held.since = now;
            any = true;
        }
        any
    }

    /// Returns these to the channel at once.
    pub(crate) fn release(&self, seqs: &[u64]) {
        seqs.iter().for_each(|seq| drop(self.take(&Which::Seqs(*seq..=*seq))));
    }

    /// Returns everything to the channel.
    pub(crate) fn release_all(&self) {
        drop(self.take(&Which::Seqs(0..=u64::MAX)));
    }

    /// Returns what has been held for `most` without a sign of progress.
    pub(crate) fn release_older(&self, most: Duration) {
        let old: Vec<u64> = {
            let state = self.state();
            let old = state.held.iter().filter(|(_, held)| held.since.elapsed() >= most);
            old.map(|(seq, _)| *seq).collect()
        };
        self.release(&old);
    }

    /// Returns how much is held.
    pub(crate) fn held(&self) -> Window {
        let state = self.state();
        Window { events: state.held.len(), bytes: state.bytes }
    }

    /// Notes a sign of life.
    pub(crate) fn hear(&self) {
        self.state().heard = Instant::now();
    }

    /// Expects signs of life from now on.
    pub(crate) fn expect_life(&self) {
        self.state().lively = true;
    }

    /// Returns true when a sign of life is overdue.
    pub(crate) fn is_silent(&self, most: Duration) -> bool {
        let state = self.state();
        state.lively && state.heard.elapsed() > most
    }

    /// Returns how long ago the connector was last heard.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.state().heard.elapsed()
    }

    fn take(&self, which: &Which) -> Vec<Held> {
        let mut state = self.state();
        let seqs: Vec<u64> = match which {
            Which::Seqs(range) => state.held.range(range.clone()).map(|(seq, _)| *seq).collect(),
            Which::Message(id) => state.by_id.get(id).copied().into_iter().collect(),
        };
        let mut taken = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let Some(held) = state.held.remove(&seq) else { continue };
            state.bytes -= held.weight;
            if state.by_id.get(&held.id) == Some(&seq) {
                state.by_id.remove(&held.id);
            }
            taken.push(held);
        }
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The holders of one channel. The bound of its connections bounds them.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<Vec<Weak<Holder>>>);

impl Holders {
    /// Makes a holder known as long as somebody keeps it.
    pub(crate) fn enter(&self, holder: &Arc<Holder>) {
        let mut all = self.lock();
        all.retain(|holder| holder.strong_count() > 0);
        all.push(Arc::downgrade(holder));
    }

    /// Returns the holder of a connection.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Holder>> {
        self.all().into_iter().find(|holder| holder.name == name)
    }

    /// Returns everybody.
    pub(crate) fn all(&self) -> Vec<Arc<Holder>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Holder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use engine::headers::Headers;
    use engine::webhook::{Head, from_micros};

    fn event() -> (Event, tokio::sync::oneshot::Receiver<Outcome>) {
        let head = Head {
            id: Id::new(),
            webhook: "w".into(),
            received: from_micros(1),
            source: [127, 0, 0, 1].into(),
            method: "POST".into(),
            target: "/webhook/w".into(),
            headers: Headers::default(),
        };
        let (ack, outcome) = Ack::waiter();
        (Event { webhook: Webhook::new(head, Bytes::from_static(b"body")), ack }, outcome)
    }

    #[tokio::test]
    async fn a_webhook_is_settled_once_by_number_or_by_id() {
        let holder = Holder::new("c".to_owned(), false);
        let (first, one) = event();
        let (second, other) = event();
        let id = second.webhook.id();
        let (seq, _) = holder.hold(first);
        holder.hold(second);
        let (by_seq, by_id) = (Which::Seqs(seq..=seq), Which::Message(id));
        let found = [&by_seq, &by_seq, &by_id, &by_id].map(|which| holder.settle(which, &Outcome::Delivered));
        assert_eq!(found, [true, false, true, false]);
        assert_eq!((one.await, other.await), (Ok(Outcome::Delivered), Ok(Outcome::Delivered)));
        assert_eq!(holder.held(), Window { events: 0, bytes: 0 });
    }

    #[tokio::test]
    async fn what_is_released_or_dropped_is_lost() {
        let holder = Holder::new("c".to_owned(), false);
        let (first, one) = event();
        let (second, other) = event();
        let (seq, _) = holder.hold(first);
        holder.hold(second);
        holder.release(&[seq]);
        drop(holder);
        assert_eq!((one.await, other.await), (Ok(Outcome::lost()), Ok(Outcome::lost())));
    }
}
