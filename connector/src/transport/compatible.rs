//! The compatible dialect as frames: what a receiver of the reference kind says becomes frames, and frames become what it
//! understands.
//!
//! Such a receiver knows webhooks by message id, so the numbers of frames are kept here, each with its id. One that does
//! not announce our additions redelivers at once what is given back: those settlements are held here for their delay.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::Window;
use engine::webhook::Webhook;
use schemas::wire::frame::{Delivery, Frame, Settle};
use tokio::time::Instant;

use super::message;
use super::watch::Signs;

/// How long a webhook may be in flight with receivers that do not say it.
const ACK_DEADLINE: Duration = Duration::from_secs(30);

/// How long what is given back without a delay is held.
const HELD: Duration = Duration::from_secs(5);

/// The shortest time that anything given back is held.
const HELD_LEAST: Duration = Duration::from_secs(1);

/// What the receiver says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The connection stands.
    Connected {
        /// Its id.
        session: ByteString,
    },
    /// A webhook, and the text of its message id.
    Webhook(Box<Webhook>, ByteString),
    Heartbeat,
    Gap {
        missed: u64,
        first: u64,
        last: u64,
    },
    /// The connection is of no use, and why.
    Refused(String),
}

/// What the connector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Ack(ByteString),
    Nack(ByteString, Nack),
    Progress(ByteString),
    Window(Window),
    Heartbeat,
}

/// How a webhook is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nack {
    pub(super) retry: bool,
    pub(super) delay: Option<Duration>,
    pub(super) cause: Cause,
    pub(super) reason: Option<Reason>,
}

/// One session's side of the dialect.
pub(super) struct Compatible {
    /// Whether the receiver knows our additions.
    versioned: bool,
    next: u64,
    ids: BTreeMap<u64, ByteString>,
    held: BTreeMap<(Instant, u64), Told>,
    signs: Signs,
}

impl Compatible {
    pub(super) fn new(versioned: bool, signs: Signs) -> Self {
        Self { versioned, next: 0, ids: BTreeMap::new(), held: BTreeMap::new(), signs }
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
    pub(super) fn hear(&mut self, heard: Heard) -> Frame {
        match heard {
            Heard::Connected { session } => Frame::Welcome {
                session,
                heartbeat: self.signs.heartbeat(),
                ack_deadline: ACK_DEADLINE,
                largest: u32::MAX,
            },
            Heard::Webhook(webhook, id) => {
                self.signs.note_webhook();
                self.next += 1;
                self.ids.insert(self.next, id);
                Frame::Deliver(vec![Delivery { seq: self.next, webhook: *webhook }])
            }
            Heard::Heartbeat => {
                self.signs.note_heartbeat();
                Frame::Ping(0)
            }
            Heard::Gap { missed, first, last } => Frame::Gap { missed, first, last },
            Heard::Refused(why) => Frame::Bye(why.into()),
        }
    }

    /// Turns a frame into what the receiver is told now; what is held is told by [`Compatible::due`].
    pub(super) fn tell(&mut self, frame: &Frame) -> Vec<Told> {
        match frame {
            Frame::Settle(settle) => self.settle(settle),
            Frame::Progress(ranges) if self.versioned => ranges
                .iter()
                .flat_map(|range| self.ids.range(range.clone()))
                .map(|(_, id)| Told::Progress(id.clone()))
                .collect(),
            Frame::Window(window) if self.versioned => vec![Told::Window(*window)],
            Frame::Ping(_) | Frame::Pong(_) => vec![Told::Heartbeat],
            Frame::Progress(_)
            | Frame::Window(_)
            | Frame::Hello { .. }
            | Frame::Welcome { .. }
            | Frame::Deliver(_)
            | Frame::Gap { .. }
            | Frame::Bye(_) => Vec::new(),
        }
    }

    fn settle(&mut self, settle: &Settle) -> Vec<Told> {
        let mut told = Vec::new();
        for range in &settle.delivered {
            let seqs: Vec<u64> = self.ids.range(range.clone()).map(|(seq, _)| *seq).collect();
            told.extend(seqs.into_iter().filter_map(|seq| self.ids.remove(&seq)).map(Told::Ack));
        }
        for (seq, reason) in &settle.rejected {
            let Some(id) = self.ids.remove(seq) else { continue };
            told.push(Told::Nack(id, rejected(reason)));
        }
        for returned in &settle.returned {
            let Some(id) = self.ids.remove(&returned.seq) else { continue };
            let reason = Some(returned.reason.clone()).filter(|reason| !reason.as_str().is_empty());
            let nack = Nack { retry: true, delay: returned.delay, cause: returned.cause, reason };
            if self.versioned {
                told.push(Told::Nack(id, nack));
            } else {
                let wait = returned.delay.unwrap_or(HELD).max(HELD_LEAST);
                self.held.insert((Instant::now() + wait, returned.seq), Told::Nack(id, nack));
            }
        }
        for (id, outcome) in &settle.earlier {
            let id = message::id_text(*id);
            match outcome {
                Outcome::Delivered => told.push(Told::Ack(id)),
                Outcome::Failed { reason } => told.push(Told::Nack(id, rejected(reason))),
                // The end of the earlier session gave it back already.
                Outcome::Abandoned { .. } | Outcome::Refused { .. } => {}
            }
        }
        told
    }

    /// Returns when something that is held is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// Returns what was held and is due.
    pub(super) fn due(&mut self) -> Vec<Told> {
        let later = self.held.split_off(&(Instant::now(), u64::MAX));
        std::mem::replace(&mut self.held, later).into_values().collect()
    }
}

fn rejected(reason: &Reason) -> Nack {
    Nack { retry: false, delay: None, cause: Cause::Failed, reason: Some(reason.clone()) }
}

/// Waits until `due`; for ever when nothing is.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
