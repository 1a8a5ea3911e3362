//! The compatible dialect as frames: what a receiver of the reference kind says becomes frames, and frames become what it
//! understands.
//!
//! Such a receiver knows webhooks by message id, so the numbers of frames are kept here, each with its id. One that does
//! not announce our additions redelivers at once what is given back: those settlements are held here for their delay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use engine::ack::Outcome;
use schemas::wire::compatible::{FromConnector, FromReceiver, Gap, Received};
use schemas::wire::frame::{Delivery, Frame, Settle};
use tokio::time::Instant;

use super::dial::Dialer;
use super::watch::Signs;

/// How long what is given back without a delay is held.
const HELD: Duration = Duration::from_secs(5);

/// The shortest time that anything given back is held.
const HELD_LEAST: Duration = Duration::from_secs(1);

/// What is held at a time; more is told at once. A receiver that keeps to a window never gets here.
const HELD_MOST: usize = 100_000;

/// One session's side of the dialect.
pub(super) struct Compatible {
    /// Whether the receiver knows our additions.
    versioned: bool,
    /// Whether it only watches, so that nothing is settled.
    tap: bool,
    next: u64,
    ids: BTreeMap<u64, ByteString>,
    held: BTreeMap<(Instant, u64), FromConnector>,
    signs: Signs,
    /// How long a webhook may be in flight, in seconds, as far as the receiver has said so.
    deadline: Arc<AtomicU64>,
}

impl Compatible {
    pub(super) fn new(dialer: &Dialer, signs: Signs) -> Self {
        let (versioned, tap) = (dialer.is_versioned(), dialer.is_tap());
        let deadline = dialer.deadline();
        Self { versioned, tap, next: 0, ids: BTreeMap::new(), held: BTreeMap::new(), signs, deadline }
    }

    /// Returns true when the receiver knows our additions.
    pub(super) fn is_versioned(&self) -> bool {
        self.versioned
    }

    /// Returns the signs of life.
    pub(super) fn signs(&self) -> &Signs {
        &self.signs
    }

    /// Turns what the receiver said into a frame.
    pub(super) fn hear(&mut self, said: FromReceiver) -> Frame {
        match said {
            FromReceiver::Connected { connection, .. } => Frame::Welcome {
                session: connection,
                heartbeat: self.signs.heartbeat(),
                ack_deadline: Duration::from_secs(self.deadline.load(Ordering::Relaxed)),
                largest: u32::MAX,
            },
            FromReceiver::Webhook(received) => Frame::Deliver(vec![self.number(*received)]),
            FromReceiver::Heartbeat => {
                self.signs.note_heartbeat();
                Frame::Ping(0)
            }
            FromReceiver::Gap(Gap { missed, first, last }) => Frame::Gap { missed, first, last },
            FromReceiver::Error(why) => Frame::Bye(why),
        }
    }

    /// Gives a webhook its number.
    pub(super) fn number(&mut self, received: Received) -> Delivery {
        self.signs.note_webhook();
        self.next += 1;
        if !self.tap {
            self.ids.insert(self.next, received.message);
        }
        Delivery { seq: self.next, webhook: received.webhook }
    }

    /// Turns a frame into what the receiver is told now; what is held is told by [`Compatible::due`].
    pub(super) fn tell(&mut self, frame: &Frame) -> Vec<FromConnector> {
        match frame {
            Frame::Settle(settle) => self.settle(settle),
            Frame::Progress(ranges) if self.versioned => ranges
                .iter()
                .flat_map(|range| self.ids.range(range.clone()))
                .map(|(_, message)| FromConnector::Progress { message: message.clone() })
                .collect(),
            Frame::Window(window) if self.versioned => vec![FromConnector::Window(*window)],
            Frame::Ping(_) | Frame::Pong(_) => vec![FromConnector::Heartbeat],
            Frame::Progress(_)
            | Frame::Window(_)
            | Frame::Hello { .. }
            | Frame::Welcome { .. }
            | Frame::Deliver(_)
            | Frame::Gap { .. }
            | Frame::Bye(_) => Vec::new(),
        }
    }

    fn settle(&mut self, settle: &Settle) -> Vec<FromConnector> {
        let mut told = Vec::new();
        for range in &settle.delivered {
            let seqs: Vec<u64> = self.ids.range(range.clone()).map(|(seq, _)| *seq).collect();
            told.extend(seqs.into_iter().filter_map(|seq| self.settled(seq, Outcome::Delivered)));
        }
        for (seq, reason) in &settle.rejected {
            told.extend(self.settled(*seq, Outcome::Failed { reason: reason.clone() }));
        }
        for returned in &settle.returned {
            let reason = Some(returned.reason.clone()).filter(|reason| !reason.as_str().is_empty());
            let outcome = Outcome::Abandoned { delay: returned.delay, cause: returned.cause, reason };
            let Some(nack) = self.settled(returned.seq, outcome) else { continue };
            if self.versioned || self.held.len() >= HELD_MOST {
                told.push(nack);
            } else {
                let wait = returned.delay.unwrap_or(HELD).max(HELD_LEAST);
                self.held.insert((Instant::now() + wait, returned.seq), nack);
            }
        }
        if self.versioned {
            // Others take settlements on the connection that brought the webhook, and send it again on this one.
            let earlier = settle.earlier.iter().map(|(id, outcome)| FromConnector::Settle {
                message: id.to_string().into(),
                outcome: outcome.clone(),
            });
            told.extend(earlier);
        }
        told
    }

    fn settled(&mut self, seq: u64, outcome: Outcome) -> Option<FromConnector> {
        self.ids.remove(&seq).map(|message| FromConnector::Settle { message, outcome })
    }

    /// Returns when something that is held is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// Returns what was held and is due.
    pub(super) fn due(&mut self) -> Vec<FromConnector> {
        let later = self.held.split_off(&(Instant::now(), u64::MAX));
        std::mem::replace(&mut self.held, later).into_values().collect()
    }
}

/// Waits until `due`; for ever when nothing is.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
