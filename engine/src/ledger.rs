//! Accounts of webhooks that were sent on and have not been reported yet, within a window.
//!
//! Whoever sends webhooks on opens an account. [`Ledger::open`] takes room in the window and gives the [`Ack`] that goes
//! along; the report comes back through [`Ledger::settled`], which frees the room. The room lives inside the entry, so
//! accounting and acknowledgement cannot drift apart.
//!
//! Reports are left in a mailbox by any thread and never wait. The mailbox holds at most one report and one sign of
//! progress per open entry, so the window bounds it.

use std::collections::{BTreeMap, HashSet};

use tokio::sync::Notify;

use crate::ack::{Ack, Outcome};
use crate::sync::{Arc, Mutex, lock};

/// A bound on what may be outstanding, in events and in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Webhooks.
    pub events: usize,
    /// Bytes, as [`Webhook::weight`](crate::webhook::Webhook::weight) counts them.
    pub bytes: usize,
}

impl Window {
    /// Returns the smaller of two windows in each measure.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { events: self.events.min(other.events), bytes: self.bytes.min(other.bytes) }
    }
}

/// Names one open entry of a ledger. Never used twice in the life of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u64);

/// Webhooks that were sent on and have not been reported yet, each with what its owner wants to remember.
pub struct Ledger<T> {
    window: Window,
    bytes: usize,
    next: u64,
    open: BTreeMap<u64, (T, usize)>,
    mailbox: Arc<Mailbox>,
}

/// What came back from the holders of the acks.
#[derive(Debug)]
pub struct Reports<T> {
    /// Every settled entry, in the order of the reports.
    pub settled: Vec<(Key, T, Outcome)>,
    /// Entries whose holder said that it is still working.
    pub progressed: Vec<Key>,
}

impl<T> Ledger<T> {
    /// Makes an empty ledger.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self::ringing(window, Bell::default())
    }

    /// Makes an empty ledger that rings `bell` when something is reported, so that one owner of many ledgers waits once.
    #[must_use]
    pub fn ringing(window: Window, bell: Bell) -> Self {
        let mailbox = Arc::new(Mailbox { state: Mutex::default(), bell });
        Self { window, bytes: 0, next: 0, open: BTreeMap::new(), mailbox }
    }

    /// Returns true when a webhook of `bytes` may be sent on. One larger than the whole window passes when nothing
    /// else is outstanding, so it cannot wedge.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.window.events > 0
            && (self.open.is_empty()
                || (self.open.len() < self.window.events
                    && self.bytes.saturating_add(bytes) <= self.window.bytes))
    }

    /// Returns how much of the window is free.
    #[must_use]
    pub fn free(&self) -> Window {
        Window {
            events: self.window.events.saturating_sub(self.open.len()),
            bytes: self.window.bytes.saturating_sub(self.bytes),
        }
    }

    /// Opens an entry and gives the duty to report it. The caller asks [`Ledger::has_room`] first.
    pub fn open(&mut self, bytes: usize, memo: T) -> (Key, Ack) {
        let key = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.open.insert(key, (memo, bytes));
        (Key(key), Ack::entry(Entry { key, mailbox: Arc::clone(&self.mailbox) }))
    }

    /// Waits until something was reported and returns all of it. Cancelling loses nothing.
    pub async fn settled(&mut self) -> Reports<T> {
        loop {
            let reports = self.take();
            if !reports.settled.is_empty() || !reports.progressed.is_empty() {
                return reports;
            }
            self.mailbox.bell.rung().await;
        }
    }

    /// Returns what was reported since the last time, without waiting.
    pub fn take(&mut self) -> Reports<T> {
        let (settled, progressed) = self.mailbox.take();
        let settled = settled
            .into_iter()
            .filter_map(|(key, outcome)| {
                let (memo, bytes) = self.open.remove(&key)?;
                self.bytes -= bytes;
                Some((Key(key), memo, outcome))
            })
            .collect();
        Reports { settled, progressed: progressed.into_iter().map(Key).collect() }
    }

    /// Returns what is remembered of an open entry.
    pub fn memo(&mut self, key: Key) -> Option<&mut T> {
        self.open.get_mut(&key.0).map(|(memo, _)| memo)
    }

    /// Walks what is remembered of every open entry, the oldest first.
    pub fn memos(&self) -> impl Iterator<Item = &T> {
        self.open.values().map(|(memo, _)| memo)
    }

    /// Changes the window. Room taken beyond a smaller one comes back as entries settle.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// Returns how many entries are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns how many bytes are outstanding.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns true when nothing is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Ends the account and gives back what was still open. Late reports go nowhere.
    pub fn close(&mut self) -> Vec<T> {
        self.mailbox.take();
        self.bytes = 0;
        std::mem::take(&mut self.open).into_values().map(|(memo, _)| memo).collect()
    }
}

impl<T> std::fmt::Debug for Ledger<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("open", &self.open.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Wakes the owner of one or many ledgers. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Bell(std::sync::Arc<Notify>);

impl Bell {
    /// Waits until something was reported since the last time. Cancelling loses nothing.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

/// One open entry, as its ack holds it.
pub(crate) struct Entry {
    key: u64,
    mailbox: Arc<Mailbox>,
}

impl Entry {
    pub(crate) fn settle(self, outcome: Outcome) {
        self.mailbox.leave(self.key, outcome);
    }

    pub(crate) fn progress(&self) {
        self.mailbox.touch(self.key);
    }
}

/// Where reports are left. Its state waits nowhere; the wake-up stands apart from it.
struct Mailbox {
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Default)]
struct State {
    settled: Vec<(u64, Outcome)>,
    progressed: HashSet<u64>,
}

impl Mailbox {
    fn leave(&self, key: u64, outcome: Outcome) {
        let first = {
            let mut state = lock(&self.state);
            state.settled.push((key, outcome));
            state.progressed.remove(&key);
            state.settled.len() == 1
        };
        // Later reports find the wake-up of the first still standing.
        if first {
            self.bell.0.notify_one();
        }
    }

    fn touch(&self, key: u64) {
        let mut state = lock(&self.state);
        if state.progressed.insert(key) {
            drop(state);
            self.bell.0.notify_one();
        }
    }

    fn take(&self) -> (Vec<(u64, Outcome)>, Vec<u64>) {
        let mut state = lock(&self.state);
        (std::mem::take(&mut state.settled), state.progressed.drain().collect())
    }
}

#[cfg(all(test, not(webhook_connect_loom)))]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn window(events: usize, bytes: usize) -> Window {
        Window { events, bytes }
    }

    #[tokio::test]
    async fn a_settled_entry_gives_its_room_back() {
        let mut ledger = Ledger::new(window(1, 100));
        let (key, ack) = ledger.open(10, "memo");
        assert!(!ledger.has_room(1));
        ack.settle(Outcome::Delivered);
        let reports = ledger.settled().await;
        assert_eq!(reports.settled, [(key, "memo", Outcome::Delivered)]);
        assert!(ledger.has_room(1) && ledger.is_empty());
    }

    #[tokio::test]
    async fn progress_is_told_once_and_dies_with_the_entry() {
        let mut ledger = Ledger::new(window(2, 100));
        let (key, ack) = ledger.open(1, ());
        ack.progress();
        ack.progress();
        assert_eq!(ledger.settled().await.progressed, [key]);
        ack.progress();
        drop(ack);
        let reports = ledger.settled().await;
        assert_eq!((reports.settled.len(), reports.progressed.len()), (1, 0));
    }

    #[test]
    fn one_webhook_larger_than_the_window_passes_alone() {
        let mut ledger = Ledger::new(window(10, 100));
        assert!(ledger.has_room(1_000));
        let (_, ack) = ledger.open(1_000, ());
        assert!(!ledger.has_room(1));
        drop(ack);
        ledger.take();
        assert!(ledger.has_room(1));
    }

    #[test]
    fn a_window_of_nothing_has_no_room() {
        assert!(!Ledger::<()>::new(window(0, 100)).has_room(0));
    }

    #[test]
    fn the_bell_rings_at_progress_and_at_a_report_and_once_for_each() {
        let bell = Bell::default();
        let rung = || bell.rung().now_or_never().is_some();
        let mut ledger = Ledger::ringing(window(1, 100), bell.clone());
        let (_, ack) = ledger.open(1, ());
        assert!(!rung(), "nothing was reported");
        ack.progress();
        assert_eq!((rung(), rung()), (true, false));
        ack.settle(Outcome::Delivered);
        assert_eq!((rung(), rung()), (true, false));
    }

    #[test]
    fn what_is_remembered_can_be_changed_while_the_entry_is_open() {
        let mut ledger = Ledger::new(window(2, 100));
        let (key, ack) = ledger.open(1, "first");
        let (_, _held) = ledger.open(1, "second");
        *ledger.memo(key).unwrap() = "changed";
        assert_eq!(ledger.memos().copied().collect::<Vec<_>>(), ["changed", "second"]);
        ack.settle(Outcome::Delivered);
        assert_eq!(ledger.take().settled, [(key, "changed", Outcome::Delivered)]);
        assert_eq!(ledger.memo(key), None);
    }

    #[test]
    fn a_ledger_that_is_closed_gives_back_what_was_open_and_takes_no_late_report() {
        let mut ledger = Ledger::new(window(3, 100));
        let acks = ["a", "b"].map(|memo| ledger.open(10, memo).1);
        assert!(!ledger.is_empty());
        assert_eq!(ledger.close(), ["a", "b"]);
        assert_eq!((ledger.is_empty(), ledger.len(), ledger.bytes()), (true, 0, 0));
        drop(acks);
        assert_eq!(ledger.take().settled, []);
    }

    /// One step of whoever uses a ledger.
    #[derive(Clone, Debug)]
    enum Step {
        Open(usize),
        Settle(usize),
        Forget(usize),
        Progress(usize),
        Window(usize, usize),
        Take,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..60_usize).prop_map(Step::Open),
            2 => any::<usize>().prop_map(Step::Settle),
            1 => any::<usize>().prop_map(Step::Forget),
            1 => any::<usize>().prop_map(Step::Progress),
            1 => (0..8_usize, 0..150_usize).prop_map(|(events, bytes)| Step::Window(events, bytes)),
            3 => Just(Step::Take),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// I3, against a plain list: what is open never exceeds the window it was opened under, in events and in bytes,
        /// and every entry comes back once, with its own memo and the outcome it was settled with.
        #[test]
        fn a_ledger_accounts_like_a_list(steps in steps()) {
            let (mut window, mut ledger) = (window(4, 100), Ledger::new(window(4, 100)));
            // Open entries: memo, weight. Held acks: memo, ack. Reported and not taken yet: memo, outcome.
            let mut open: Vec<(usize, usize)> = Vec::new();
            let mut held: Vec<(usize, Ack)> = Vec::new();
            let mut reported: Vec<(usize, Outcome)> = Vec::new();
            for (memo, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Open(weight) => {
                        let bytes: usize = open.iter().map(|(_, weight)| weight).sum();
                        let fits = open.is_empty() || (open.len() < window.events && bytes + weight <= window.bytes);
                        let room = window.events > 0 && fits;
                        prop_assert_eq!(ledger.has_room(weight), room);
                        if room {
                            held.push((memo, ledger.open(weight, memo).1));
                            open.push((memo, weight));
                        }
                    }
                    Step::Settle(which) if !held.is_empty() => {
                        let (memo, ack) = held.swap_remove(which % held.len());
                        ack.settle(Outcome::Delivered);
                        reported.push((memo, Outcome::Delivered));
                    }
                    Step::Forget(which) if !held.is_empty() => {
                        let (memo, ack) = held.swap_remove(which % held.len());
                        drop(ack);
                        reported.push((memo, Outcome::lost()));
                    }
                    Step::Progress(which) if !held.is_empty() => held[which % held.len()].1.progress(),
                    Step::Window(events, bytes) => {
                        window = Window { events, bytes };
                        ledger.set_window(window);
                    }
                    Step::Settle(_) | Step::Forget(_) | Step::Progress(_) => {}
                    Step::Take => {
                        let taken = ledger.take().settled.into_iter().map(|(_, memo, outcome)| (memo, outcome));
                        prop_assert_eq!(taken.collect::<Vec<_>>(), std::mem::take(&mut reported));
                        open.retain(|(memo, _)| held.iter().any(|(other, _)| other == memo));
                    }
                }
                prop_assert_eq!(ledger.len(), open.len());
                prop_assert_eq!(ledger.bytes(), open.iter().map(|(_, weight)| weight).sum::<usize>());
            }
        }
    }
}

/// Run with `RUSTFLAGS="--cfg webhook_connect_loom"`; see `./test`.
#[cfg(all(test, webhook_connect_loom))]
mod interleavings {
    use super::*;

    const WINDOW: Window = Window { events: 2, bytes: 100 };

    #[test]
    fn two_holders_and_a_taker_lose_no_report() {
        loom::model(|| {
            let mut ledger = Ledger::new(WINDOW);
            let (first, settled) = ledger.open(1, "settled");
            let (second, dropped) = ledger.open(1, "dropped");
            let settler = loom::thread::spawn(move || {
                settled.progress();
                settled.settle(Outcome::Delivered);
            });
            let dropper = loom::thread::spawn(move || drop(dropped));
            let mut all = ledger.take().settled;
            settler.join().unwrap();
            dropper.join().unwrap();
            all.extend(ledger.take().settled);
            all.sort_by_key(|(key, ..)| *key);
            let wanted = [(first, "settled", Outcome::Delivered), (second, "dropped", Outcome::lost())];
            assert_eq!(all, wanted);
            assert!(ledger.is_empty());
        });
    }

    #[test]
    fn branches_on_two_threads_report_their_parent_once() {
        loom::model(|| {
            let mut ledger = Ledger::new(WINDOW);
            let (key, ack) = ledger.open(1, ());
            let mut branches = ack.split(2);
            let (one, other) = (branches.remove(0), branches.remove(0));
            let dropper = loom::thread::spawn(move || drop(one));
            other.progress();
            other.settle(Outcome::Delivered);
            dropper.join().unwrap();
            assert_eq!(ledger.take().settled, [(key, (), Outcome::lost())]);
        });
    }

    #[test]
    fn a_closed_ledger_and_a_late_holder_agree() {
        loom::model(|| {
            let mut ledger = Ledger::new(WINDOW);
            let (_, ack) = ledger.open(1, "memo");
            let holder = loom::thread::spawn(move || ack.settle(Outcome::Delivered));
            let reported = ledger.take().settled.len();
            let left = ledger.close().len();
            holder.join().unwrap();
            assert_eq!(reported + left, 1);
        });
    }
}
