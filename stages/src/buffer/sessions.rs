//! Who takes webhooks from a channel, and how much room each has.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::SystemTime;

use engine::ack::Outcome;
use engine::ledger::{Bell, Key, Ledger, Window};
use engine::supply::{Carries, Unfit};
use engine::webhook::{Event, Webhook};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What is remembered of a webhook that a session holds.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// Its place in the channel.
    pub(super) sequence: u64,
    /// When it counts as overdue; moved by progress.
    pub(super) deadline: Instant,
    /// True once it was overdue and is no longer this session's.
    pub(super) overdue: bool,
}

/// Names a session for the life of the channel.
pub(super) type SessionId = u64;

/// One taker of webhooks.
struct Session {
    id: SessionId,
    name: String,
    ledger: Ledger<Flight>,
    window: watch::Receiver<Window>,
    events: mpsc::Sender<Event>,
    /// What it can carry; none means every webhook.
    carries: Option<Carries>,
}

/// What became of a webhook that was offered to the sessions.
pub(super) enum Offered {
    /// A session has it.
    Taken(SessionId, Key),
    /// No session that can carry it has room.
    NoRoom,
    /// No session can carry it.
    Unfit(Unfit),
}

impl Session {
    /// Returns how many webhooks have room, when one of `weight` bytes has; none sorts below all.
    fn room_for(&self, weight: usize) -> Option<usize> {
        self.ledger.has_room(weight).then(|| self.ledger.free().events)
    }
}

/// Everybody who takes webhooks from one channel.
pub(super) struct Sessions {
    bell: Bell,
    next: SessionId,
    all: Vec<Session>,
    /// What waits for changes, one of each session: thousands of them cost nothing as long as nothing changes.
    watching: FuturesUnordered<BoxFuture<'static, Option<Watched>>>,
    most: Window,
}

/// By what a session shows that it changed its window, and that it ended.
type Watched = (watch::Receiver<Window>, mpsc::Sender<Event>);

/// Waits for a change of a session; none when it ended.
fn change_of((mut window, events): Watched) -> BoxFuture<'static, Option<Watched>> {
    Box::pin(async move {
        tokio::select! {
            biased;
            () = events.closed() => None,
            changed = window.changed() => match changed {
                Ok(()) => Some((window, events)),
                // It will not change any more.
                Err(_) => {
                    events.closed().await;
                    None
                }
            },
        }
    })
}

/// What the sessions reported.
#[derive(Default)]
pub(super) struct Reported {
    /// Settled flights.
    pub(super) settled: Vec<(Flight, Outcome)>,
    /// Flights whose holder is still working.
    pub(super) progressed: Vec<(SessionId, Key)>,
    /// Sessions that ended, by name.
    pub(super) ended: Vec<String>,
}

impl Sessions {
    pub(super) fn new(most: Window) -> Self {
        Self { bell: Bell::default(), next: 0, all: Vec::new(), watching: FuturesUnordered::new(), most }
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn attach(
        &mut self,
        name: String,
        window: watch::Receiver<Window>,
        events: mpsc::Sender<Event>,
        carries: Option<Carries>,
    ) {
        let ledger = Ledger::ringing(window.borrow().min(self.most), self.bell.clone());
        self.watching.push(change_of((window.clone(), events.clone())));
        self.all.push(Session { id: self.next, name, ledger, window, events, carries });
        self.next += 1;
    }

    /// Collects what was reported, takes new windows over, and lets go of sessions that ended and hold nothing.
    pub(super) fn collect(&mut self) -> Reported {
        let mut reported = Reported::default();
        for session in &mut self.all {
            if session.window.has_changed().unwrap_or(false) {
                let window = session.window.borrow_and_update().min(self.most);
                session.ledger.set_window(window);
            }
            let reports = session.ledger.take();
            reported
                .settled
                .extend(reports.settled.into_iter().map(|(_, flight, outcome)| (flight, outcome)));
            reported.progressed.extend(reports.progressed.into_iter().map(|key| (session.id, key)));
        }
        self.all.retain_mut(|session| {
            let ended = session.events.is_closed() && session.ledger.is_empty();
            if ended {
                reported.ended.push(std::mem::take(&mut session.name));
            }
            !ended
        });
        reported
    }

    /// Waits until a session changed its window or ended. Cancelling loses nothing.
    pub(super) async fn changed(&mut self) {
        match self.watching.next().await {
            Some(Some(again)) => self.watching.push(change_of(again)),
            // It ended. If it holds something yet, the bell rings when that is reported.
            Some(None) => {}
            None => std::future::pending().await,
        }
    }

    /// Returns the room of the session with the most: what is worth reading from the store.
    pub(super) fn room(&self) -> Window {
        let rooms = self.open().map(|session| session.ledger.free());
        rooms.fold(Window { events: 0, bytes: 0 }, |sum, room| Window {
            events: sum.events + room.events,
            bytes: sum.bytes.saturating_add(room.bytes),
        })
    }

    /// Returns true when some session has room for a webhook of `weight` bytes.
    pub(super) fn has_room(&self, weight: usize) -> bool {
        self.open().any(|session| session.ledger.has_room(weight))
    }

    /// Hands `webhook` to the session with the most free window among those that can carry it.
    pub(super) fn hand_out(&mut self, webhook: Webhook, sequence: u64, deadline: Instant) -> Offered {
        let weight = webhook.weight();
        let open = self.all.iter().enumerate().filter(|(_, session)| !session.events.is_closed());
        let mut rooms: BinaryHeap<_> =
            open.map(|(at, session)| (session.room_for(weight), Reverse(at))).collect();
        let mut unfit = None;
        while let Some((room, Reverse(at))) = rooms.pop() {
            let session = &mut self.all[at];
            if let Some(Err(why)) = session.carries.as_ref().map(|carries| carries.judge(&webhook)) {
                unfit = Some(why);
                continue;
            }
            if room.is_none() {
                return Offered::NoRoom;
            }
            let (key, ack) = session.ledger.open(weight, Flight { sequence, deadline, overdue: false });
            // The queue is as long as the largest window, so only a session that just ended refuses; the ack then
            // reports.
            drop(session.events.try_send(Event { webhook, ack }));
            return Offered::Taken(session.id, key);
        }
        unfit.map_or(Offered::NoRoom, Offered::Unfit)
    }

    /// Returns a flight that has not been reported.
    pub(super) fn flight(&mut self, session: SessionId, key: Key) -> Option<&mut Flight> {
        self.all.iter_mut().find(|s| s.id == session)?.ledger.memo(key)
    }

    fn open(&self) -> impl Iterator<Item = &Session> {
        self.all.iter().filter(|session| !session.events.is_closed())
    }
}

/// Returns true when a webhook received at `received` is older than `ttl`.
pub(super) fn is_expired(received: SystemTime, ttl: std::time::Duration, now: SystemTime) -> bool {
    received.checked_add(ttl).is_some_and(|end| end <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn every_session_that_ended_is_noticed() {
        let window = Window { events: 10, bytes: 1_000 };
        let mut sessions = Sessions::new(window);
        let ends: Vec<_> = (0..100)
            .map(|nth| {
                let (events, taken) = mpsc::channel(1);
                let (changes, changed) = watch::channel(window);
                sessions.attach(nth.to_string(), changed, events, None);
                (taken, changes)
            })
            .collect();

        drop(ends);

        let all = async {
            while !sessions.is_empty() {
                sessions.changed().await;
                sessions.collect();
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), all).await.is_ok(), "some are never noticed");
    }
}
