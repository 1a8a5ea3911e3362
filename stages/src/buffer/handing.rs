//! What sessions get next: webhooks that are due again first, then fresh ones in order.

use std::time::Duration;

use engine::ack::Outcome;
use engine::clock;
use engine::ledger::Window;
use engine::store::{Change, Limit, Loaded, ParkCause, Store, StoreError, Stored, Tries};
use engine::supply::Unfit;
use engine::webhook::Transit;
use tokio::time::Instant;
use tracing::warn;

use super::driver::Driver;
use super::reading::Read;
use super::sessions::{Offered, is_expired};
use super::tracked::{Label, Place};

/// What is read ahead of the sessions at most.
const AHEAD: Limit = Limit { events: 256, bytes: 4 << 20 };

/// When a webhook is offered again that found room only at sessions which cannot carry it.
const ROOM_AGAIN: Duration = Duration::from_millis(250);

/// The bounds of the dead letters of one channel.
const MAX_PARKED: u64 = 100_000;
const MAX_PARKED_BYTES: u64 = 1 << 30;

/// Dead letters purged at a time.
const PURGE: usize = 64;

impl<S: Store> Driver<S> {
    /// Hands out what is due again, then what is fresh, as far as sessions have room.
    pub(super) fn hand_out(&mut self) {
        self.displace();
        let clock = clock::now();
        while !self.changes.is_behind() && !*self.cx.stop.borrow() {
            let due_again = !self.again.is_empty();
            let queue = if due_again { &mut self.again } else { &mut self.fresh };
            let Some(stored) = queue.front() else { return };
            let expired = is_expired(stored.webhook.head.received, self.limits.ttl(), clock);
            // A redelivery that was settled by its id while it was read has lost its place.
            let gone = due_again && self.tracked.place(stored.sequence) != Some(Place::Due);
            let confirmed = !gone && self.early.take(stored.webhook.id());
            if !expired && !gone && !confirmed && !self.sessions.has_room(stored.webhook.weight()) {
                return;
            }
            let Some(stored) = queue.pop_front() else { return };
            if gone {
                continue;
            }
            if confirmed {
                self.settle_unheld(&stored);
            } else if expired {
                self.park(
                    stored.sequence,
                    Some(Label::of(&stored.webhook)),
                    ParkCause::Expired,
                    "older than its TTL",
                );
            } else {
                self.give(stored);
            }
        }
    }

    /// Settles a webhook that was confirmed already, by whoever held it before this buffer was opened.
    pub(super) fn settle_unheld(&mut self, stored: &Stored) {
        self.tracked.fly(stored.sequence, &stored.webhook, stored.tries);
        self.conclude(stored.sequence, Outcome::Delivered);
    }

    fn give(&mut self, stored: Stored) {
        let Stored { sequence, tries, mut webhook } = stored;
        let (handed, unfit) = (tries, self.tracked.unfit(sequence));
        let tries = Tries { begun: tries.begun.saturating_add(1), counted: tries.counted };
        let expires = webhook.head.received.checked_add(self.limits.ttl());
        webhook.transit = Transit { channel: self.channel.clone(), sequence, attempt: tries.begun, expires };
        self.tracked.fly(sequence, &webhook, tries);
        let deadline = Instant::now() + self.limits.ack_timeout();
        match self.sessions.hand_out(webhook, sequence, deadline) {
            Offered::Taken(session, key) => drop(self.deadlines.insert((deadline, session, key))),
            Offered::NoRoom => self.set_aside(sequence, handed, None, Instant::now() + ROOM_AGAIN),
            Offered::Unfit(Unfit(limit)) => {
                let since = unfit.unwrap_or_else(Instant::now);
                let end = since + self.limits.ack_timeout();
                if end > Instant::now() {
                    self.set_aside(sequence, handed, Some(since), end);
                } else {
                    let reason = format!("no connector that was connected could carry it: {limit}");
                    self.park(sequence, None, ParkCause::DeadLettered, &reason);
                }
            }
        }
    }

    /// Keeps a webhook that no session can take now out of the way of the others.
    fn set_aside(&mut self, sequence: u64, tries: Tries, unfit: Option<Instant>, until: Instant) {
        self.tracked.set_tries(sequence, tries);
        self.tracked.set_unfit(sequence, unfit);
        self.tracked.put(sequence, Place::Waiting(until));
    }

    /// Parks the oldest webhooks that no session holds, under `drop_oldest`.
    fn displace(&mut self) {
        let stats = self.store.stats();
        if stats.live <= self.limits.max_queue_size && stats.live_bytes <= self.limits.max_queue_bytes {
            // What they had to make room for is there, or others have gone meanwhile.
            self.displaced = 0;
        }
        while self.displaced > 0 {
            let idle = self.tracked.oldest_idle();
            let sequence = match (self.fresh.front(), idle) {
                (Some(fresh), idle) if idle.is_none_or(|idle| fresh.sequence < idle) => {
                    let (sequence, label) = (fresh.sequence, Label::of(&fresh.webhook));
                    let Some(stored) = self.fresh.pop_front() else { return };
                    if self.early.take(label.id) {
                        self.settle_unheld(&stored);
                    } else {
                        self.park(sequence, Some(label), ParkCause::Dropped, "the queue was full");
                    }
                    self.displaced -= 1;
                    continue;
                }
                (_, Some(idle)) => idle,
                (_, None) => return,
            };
            self.park(sequence, None, ParkCause::Dropped, "the queue was full");
            self.displaced -= 1;
        }
    }

    /// Reads what the sessions will want next, and the head of the queue to know when it expires.
    pub(super) fn read_ahead(&mut self) {
        if !self.reading.is_idle() {
            return;
        }
        let stats = self.store.stats();
        let Window { events: room, bytes } = self.sessions.room();
        if room > 0 && self.again.is_empty() && self.tracked.has_due() {
            self.reading.again(self.tracked.due(AHEAD.events.min(room)), AHEAD.bytes.min(bytes));
        } else if stats.last_sequence > self.cursor && (self.fresh.is_empty() || room > self.fresh.len()) {
            let events = AHEAD.events.min(room.max(16).max(self.displaced));
            self.reading.fresh(self.cursor, Limit { events, bytes: AHEAD.bytes.min(bytes) });
        } else if self.changes.is_empty()
            && (stats.parked > MAX_PARKED || stats.parked_bytes > MAX_PARKED_BYTES)
        {
            self.reading.oldest(PURGE);
        }
    }

    pub(super) fn on_read(&mut self, read: Result<Read, StoreError>) {
        match read {
            Ok(Read::Fresh(found, upto)) => {
                self.cursor = upto;
                self.fresh.extend(found);
            }
            Ok(Read::Again(Loaded { stored, gone })) => {
                // What the store no longer has was damaged or removed behind our back; the store has said so.
                for sequence in gone {
                    self.tracked.remove(sequence);
                }
                for stored in stored {
                    let stored = self.with_tries(stored);
                    self.again.push_back(stored);
                }
            }
            Ok(Read::Oldest(parked)) => {
                warn!(channel = %self.channel, purged = parked.len(), "the dead letters are full; the oldest are purged");
                for one in parked {
                    self.tracked.remove(one.stored.sequence);
                    self.changes.push(Change::Purge { sequence: one.stored.sequence });
                }
            }
            Err(error) => self.note("read", Some(error)),
        }
    }

    /// The count of tries here may be ahead of the store's.
    fn with_tries(&self, stored: Stored) -> Stored {
        let tries = self.tracked.get(stored.sequence).map_or(stored.tries, |track| track.tries);
        Stored { tries, ..stored }
    }
}
