//! What happens because time passes: deadlines, timers, expiry.

use std::time::{Duration, SystemTime};

use engine::ack::{Cause, Reason};
use engine::clock;
use engine::ledger::Key;
use engine::store::{ParkCause, Store};
use tokio::time::Instant;

use super::driver::Driver;
use super::sessions::{SessionId, is_expired};
use super::tracked::Label;

/// How often webhooks that wait for a session are looked through for expired ones.
const LOOK_THROUGH: Duration = Duration::from_secs(1);

impl<S: Store> Driver<S> {
    pub(super) fn on_time(&mut self) {
        let now = Instant::now();
        while let Some((at, session, key)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            self.check_deadline(session, key, now);
        }
        self.tracked.ring(now);
        self.expire_due();
        self.expire_fresh();
    }

    fn check_deadline(&mut self, session: SessionId, key: Key, now: Instant) {
        let Some(flight) = self.sessions.flight(session, key) else { return };
        if flight.deadline > now {
            // It showed progress since.
            self.deadlines.insert((flight.deadline, session, key));
            return;
        }
        if std::mem::replace(&mut flight.overdue, true) {
            return;
        }
        let sequence = flight.sequence;
        let Some(track) = self.tracked.get(sequence) else { return };
        if is_expired(track.received, self.limits.ttl(), clock::now()) {
            return self.park(sequence, None, ParkCause::Expired, "older than its TTL while in flight");
        }
        let reason = Reason::new("no acknowledgement within ack_timeout_seconds");
        self.give_back(sequence, None, Cause::Lost, Some(&reason));
    }

    /// Parks what expired while it waited for a session.
    fn expire_due(&mut self) {
        let clock = clock::now();
        for sequence in self.tracked.due(usize::MAX) {
            let received = self.tracked.get(sequence).map(|track| track.received);
            if received.is_some_and(|at| is_expired(at, self.limits.ttl(), clock)) {
                self.park(sequence, None, ParkCause::Expired, "older than its TTL");
            }
        }
    }

    /// Parks what expired at the head of the queue, also while a redelivery that finds no room stands before it.
    fn expire_fresh(&mut self) {
        let clock = clock::now();
        while !self.changes.is_behind()
            && let Some(stored) = self
                .fresh
                .pop_front_if(|stored| is_expired(stored.webhook.head.received, self.limits.ttl(), clock))
        {
            if self.early.take(stored.webhook.id()) {
                self.settle_unheld(&stored);
                continue;
            }
            let label = Label::of(&stored.webhook);
            self.park(stored.sequence, Some(label), ParkCause::Expired, "older than its TTL");
        }
    }

    pub(super) fn not_after_expiry(&self, at: Instant, received: SystemTime) -> Instant {
        let end = received + self.limits.ttl();
        at.min(Instant::now() + end.duration_since(clock::now()).unwrap_or_default())
    }

    /// Returns when something has to be done though nobody asks.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let idle = !self.changes.is_behind() && !*self.cx.stop.borrow();
        let head = self.fresh.front().filter(|_| idle);
        let head = head.map(|stored| self.not_after_expiry(far(), stored.webhook.head.received));
        let due = self.tracked.has_due().then(|| Instant::now() + LOOK_THROUGH);
        let deadline = self.deadlines.first().map(|(at, ..)| *at);
        let read = self.reading.not_before().filter(|at| *at > Instant::now());
        [head, due, deadline, read, self.tracked.next_timer()].into_iter().flatten().min()
    }
}

/// A moment that never comes: half a century ahead.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(50 * 365 * 86_400)
}
