//! Whatever arrives, settles and breaks in whatever order: the promises of a channel's work.

use std::collections::{BTreeMap, BTreeSet};

use engine::webhook::Head;
use proptest::prelude::*;

use super::*;

const WINDOW: Window = Window { events: 3, bytes: 1 << 20 };

/// One step of a channel's life.
#[derive(Clone, Debug)]
enum Step {
    /// The receiver sends the webhook with this number, perhaps again.
    Deliver(u8),
    /// The destination is done with the `usize`-th webhook it has.
    Settle(usize, bool),
    /// A frame of settlements is written.
    Tell,
    /// The connection ends and another one comes.
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..8).prop_map(Step::Deliver),
        3 => (0_usize..8, any::<bool>()).prop_map(|(at, good)| Step::Settle(at, good)),
        2 => Just(Step::Tell),
        1 => Just(Step::Reconnect),
    ]
}

fn webhook(n: u8) -> Webhook {
    let head = Head {
        id: Id([n; 16]),
        webhook: "w".into(),
        received: std::time::SystemTime::UNIX_EPOCH,
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/w".into(),
        headers: [("a", "b")].into_iter().collect(),
    };
    Webhook::new(head, bytes::Bytes::from_static(b"{}"))
}

/// A channel's work with the receiver and the destination it deals with.
struct World {
    work: Work,
    fed: mpsc::Receiver<Event>,
    at_destination: Vec<Event>,
    confirmed: BTreeSet<Id>,
    next: u64,
    /// The numbers of the current session that were sent and not settled.
    owed: BTreeMap<u64, Id>,
}

impl World {
    fn new() -> Self {
        Self::of(false)
    }

    fn of(tap: bool) -> Self {
        let (feed, fed) = mpsc::channel(WINDOW.events);
        let recent = Arc::default();
        let (status, _posted) = Arc::new(crate::status::Board::default()).post("c", Counter::default());
        let ends = Ends { feed, recent, status, beyond_window: Counter::default() };
        let work = Work::new("c".into(), WINDOW, tap, ends);
        let (at_destination, confirmed) = (Vec::new(), BTreeSet::new());
        Self { work, fed, at_destination, confirmed, next: 1, owed: BTreeMap::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(n) => {
                self.owed.insert(self.next, Id([n; 16]));
                self.work.take(Delivery { seq: self.next, webhook: webhook(n) });
                self.next += 1;
            }
            Step::Settle(at, good) if !self.at_destination.is_empty() => {
                let event = self.at_destination.remove(at % self.at_destination.len());
                if good {
                    self.confirmed.insert(event.webhook.id());
                    event.ack.settle(Outcome::Delivered);
                }
            }
            Step::Settle(..) => {}
            Step::Tell => self.tell(),
            Step::Reconnect => {
                self.work.disconnected();
                self.owed.clear();
                self.next = 1;
            }
        }
        let reports = self.work.ledger.take();
        self.work.book(reports);
        while let Ok(event) = self.fed.try_recv() {
            let id = event.webhook.id();
            assert!(!self.confirmed.contains(&id), "{id} was confirmed and is handed on again");
            let twice = self.at_destination.iter().any(|held| held.webhook.id() == id);
            assert!(!twice, "{id} is handed on while it is in progress");
            self.at_destination.push(event);
        }
        assert!(self.at_destination.len() <= WINDOW.events);
    }

    /// Checks a frame of settlements: each number once, delivered only what was confirmed.
    fn tell(&mut self) {
        let settle = self.work.settlements().next();
        self.work.settlements().sent();
        for seq in settle.delivered.into_iter().flatten() {
            let id = self.owed.remove(&seq).expect("a number that is owed");
            assert!(self.confirmed.contains(&id), "{id} is told as delivered and was not");
        }
        for returned in settle.returned {
            assert!(self.owed.remove(&returned.seq).is_some(), "{} is settled twice", returned.seq);
        }
        for (id, outcome) in settle.earlier {
            assert!(outcome == Outcome::Delivered && self.confirmed.contains(&id), "{id}: {outcome:?}");
        }
    }
}

#[test]
fn a_tap_settles_nothing_keeps_what_waits_and_stops_reading_beyond_its_window() {
    let mut world = World::of(true);
    (0..5).for_each(|n| world.take(Step::Deliver(n)));
    assert!(world.work.is_swamped());
    assert_eq!(world.at_destination.len(), WINDOW.events);
    world.take(Step::Reconnect);
    world.work.leave();
    for good in [true, false, true, false, true] {
        world.take(Step::Settle(0, good));
    }
    world.take(Step::Deliver(0));
    assert!(world.work.is_done() && !world.work.is_swamped() && world.work.seqs().is_empty());
    assert_eq!((world.work.status.delivered.get(), world.work.status.dropped.get()), (3, 2));
}

proptest! {
    #[test]
    fn every_number_is_settled_once_and_nothing_confirmed_is_delivered_again(
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        // The destination finishes; then everything that the session brought has been settled.
        while !world.work.is_idle() {
            world.take(Step::Settle(0, true));
        }
        while !world.work.is_done() {
            world.take(Step::Tell);
        }
        prop_assert_eq!(world.owed, BTreeMap::new());
    }
}
