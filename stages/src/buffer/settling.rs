//! What the reports of sessions mean: removed, given back under a timer, or into the dead letters.

use std::time::Duration;

use engine::ack::{Cause, Outcome, Reason};
use engine::backoff::Backoff;
use engine::clock;
use engine::store::{Change, ParkCause, Store};
use tokio::time::Instant;
use tracing::info;

use super::driver::Driver;
use super::sessions::{Flight, is_expired};
use super::tracked::{Label, Place};

/// How long a webhook waits that came back without a delay of its own.
const RETURNED: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));

/// Sessions that end within this time of a counted loss count as one with it: when a host or a network goes, a webhook
/// may be handed to many that have ended and do not know it yet.
const TOGETHER: Duration = Duration::from_secs(1);

impl<S: Store> Driver<S> {
    /// Takes over what the sessions reported.
    pub(super) fn collect(&mut self) {
        let reported = self.sessions.collect();
        for (flight, outcome) in reported.settled {
            self.settled(&flight, outcome);
        }
        let deadline = Instant::now() + self.limits.ack_timeout();
        for (session, key) in reported.progressed {
            if let Some(flight) = self.sessions.flight(session, key) {
                let received = self.tracked.get(flight.sequence).map(|track| track.received);
                // Past its TTL a webhook keeps the deadline it has.
                if received.is_some_and(|at| !is_expired(at, self.limits.ttl(), clock::now())) {
                    flight.deadline = deadline;
                }
            }
        }
        self.forget_deadlines();
        if !reported.ended.is_empty() && self.sessions.is_empty() {
            self.tracked.forget_unfit();
        }
        for session in reported.ended {
            info!(channel = %self.channel, session, "a session ended");
        }
    }

    /// Keeps the deadlines of settled flights from piling up until they are due.
    fn forget_deadlines(&mut self) {
        if self.deadlines.len() as u64 > 2 * self.tracked.flying() + 1_024 {
            let sessions = &mut self.sessions;
            self.deadlines.retain(|(_, session, key)| sessions.flight(*session, *key).is_some());
        }
    }

    fn settled(&mut self, flight: &Flight, outcome: Outcome) {
        // A flight that was overdue has another owner by now, so only the fact of delivery counts.
        if flight.overdue && outcome != Outcome::Delivered {
            return;
        }
        self.conclude(flight.sequence, outcome);
    }

    /// Settles a webhook by what became of it. One that is gone already is left alone.
    pub(super) fn conclude(&mut self, sequence: u64, outcome: Outcome) {
        match outcome {
            Outcome::Delivered => {
                let Some(track) = self.tracked.remove(sequence) else { return };
                self.changes.push(Change::Remove { sequence });
                let ms = clock::now().duration_since(track.received).unwrap_or_default().as_millis();
                if let Some(Label { id, webhook, bytes }) = track.label {
                    info!(target: "webhook_connect::flow", %id, channel = %self.channel, %webhook, bytes, ms,
                        attempt = track.tries.begun, "delivered");
                }
            }
            Outcome::Abandoned { delay, cause, reason } => {
                self.give_back(sequence, delay, cause, reason.as_ref())
            }
            Outcome::Failed { reason } => self.reject(sequence, &format!("rejected: {reason}")),
            Outcome::Refused { answer } => self.reject(sequence, answer.detail),
        }
    }

    fn reject(&mut self, sequence: u64, reason: &str) {
        if self.tracked.place(sequence).is_some_and(|place| place != Place::Parked) {
            self.park(sequence, None, ParkCause::DeadLettered, reason);
        }
    }

    /// Puts a webhook under a timer, or into the dead letters when it was delivered too often.
    pub(super) fn give_back(
        &mut self,
        sequence: u64,
        delay: Option<Duration>,
        cause: Cause,
        reason: Option<&Reason>,
    ) {
        if self.tracked.place(sequence) == Some(Place::Parked) {
            return;
        }
        let Some(track) = self.tracked.get(sequence) else { return };
        let (received, mut tries) = (track.received, track.tries);
        // How much of the time is left in which losses count as one.
        let together = match cause {
            Cause::Lost => self.tracked.lost(sequence).map(|at| TOGETHER.saturating_sub(at.elapsed())),
            Cause::Failed | Cause::Unreachable => None,
        };
        let together = together.unwrap_or_default();
        if cause != Cause::Unreachable && together.is_zero() {
            tries.counted = tries.counted.saturating_add(1);
        }
        if tries.counted >= self.limits.max_deliveries {
            let why = reason.map_or(cause.as_str(), Reason::as_str);
            let text = format!("delivered {} times without success, last: {why}", tries.begun);
            return self.park(sequence, None, ParkCause::DeadLettered, &text);
        }
        let wait = match (delay, cause) {
            (Some(delay), _) => delay.min(self.limits.ttl()),
            (None, Cause::Lost) => together,
            (None, Cause::Unreachable | Cause::Failed) => RETURNED.wait(tries.begun, &mut self.random),
        };
        if cause == Cause::Lost && together.is_zero() {
            self.tracked.set_lost(sequence);
        }
        let until = self.not_after_expiry(Instant::now() + wait, received);
        self.tracked.set_tries(sequence, tries);
        self.tracked.put(sequence, if wait.is_zero() { Place::Due } else { Place::Waiting(until) });
        let until = (!wait.is_zero()).then(|| clock::now() + wait);
        self.changes.push(Change::Defer { sequence, tries, until });
    }

    pub(super) fn park(&mut self, sequence: u64, label: Option<Label>, cause: ParkCause, reason: &str) {
        let label = label.or_else(|| self.tracked.get(sequence).and_then(|track| track.label.clone()));
        if let Some(Label { id, webhook, bytes }) = label {
            info!(target: "webhook_connect::flow", %id, channel = %self.channel, %webhook, bytes,
                cause = cause.as_str(), reason, "parked");
        }
        self.tracked.put(sequence, Place::Parked);
        let tries = self.tracked.get(sequence).map(|track| track.tries);
        self.changes.push(Change::Park { sequence, cause, reason: reason.to_owned(), tries });
    }
}
