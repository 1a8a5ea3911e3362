//! What a channel has in progress. It outlives connections.
//!
//! A webhook that was handed on stays in the ledger until its destination is done, whatever becomes of the connection
//! that brought it. A copy that a later session brings joins it: the destination is not called a second time, and one
//! report settles both. Webhooks that wait for room in the ledger belong to their session and go with it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::{Ledger, Reports, Window};
use engine::meter::Counter;
use engine::webhook::{Event, Id, Webhook};
use schemas::wire::frame::Delivery;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::recent::Recent;
use crate::settle::Settlements;
use crate::status::ChannelStatus;

/// How many copies join one webhook at most.
const COPIES: usize = 8;

/// How long what came beyond a bound stays with the receiver.
const BEYOND_BOUND: Duration = Duration::from_secs(1);

/// A channel's webhooks between arrival and settlement.
pub(crate) struct Work {
    channel: ByteString,
    window: Window,
    /// Whether it only watches: nothing is settled, and nothing comes again.
    tap: bool,
    ledger: Ledger<Id>,
    jobs: HashMap<Id, Job>,
    /// Webhooks of jobs that found no room in the ledger.
    waiting: VecDeque<Webhook>,
    waiting_bytes: usize,
    feed: mpsc::Sender<Event>,
    recent: Arc<Mutex<Recent>>,
    settlements: Settlements,
    status: Arc<ChannelStatus>,
    beyond_window: Counter,
    leaving: bool,
}

/// One webhook in progress.
struct Job {
    /// The numbers that the current session knows it by; none when an earlier session brought it, or a tap sees it.
    seqs: Vec<u64>,
    webhook: ByteString,
    bytes: usize,
    arrived: Instant,
}

/// What a [`Work`] is joined to.
pub(crate) struct Ends {
    /// Where webhooks go, as long as the window.
    pub(crate) feed: mpsc::Sender<Event>,
    /// What was delivered lately.
    pub(crate) recent: Arc<Mutex<Recent>>,
    /// Where figures are shown.
    pub(crate) status: Arc<ChannelStatus>,
    /// Counts webhooks that came beyond the window.
    pub(crate) beyond_window: Counter,
}

impl Work {
    pub(crate) fn new(channel: ByteString, window: Window, tap: bool, ends: Ends) -> Self {
        Self {
            channel,
            window,
            tap,
            ledger: Ledger::new(window),
            jobs: HashMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            feed: ends.feed,
            recent: ends.recent,
            settlements: Settlements::default(),
            status: ends.status,
            beyond_window: ends.beyond_window,
            leaving: false,
        }
    }

    /// Returns true when it only watches.
    pub(crate) fn is_tap(&self) -> bool {
        self.tap
    }

    /// Returns true when no webhook is in progress; settlements may still wait to be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Returns true when nothing is in progress and everything was told.
    pub(crate) fn is_done(&self) -> bool {
        self.is_idle() && self.settlements.is_empty()
    }

    /// Returns what waits to be told.
    pub(crate) fn settlements(&mut self) -> &mut Settlements {
        &mut self.settlements
    }

    /// Returns when the next settlements are due.
    pub(crate) fn settlements_due(&self) -> Option<Instant> {
        self.settlements.due(self.is_idle())
    }

    /// Returns true when so much waits to be told that nothing more should be read. A receiver that keeps to the window
    /// never gets here; to a tap it sends for as long as the tap reads.
    pub(crate) fn is_swamped(&self) -> bool {
        if self.tap {
            return !self.waiting.is_empty();
        }
        self.settlements.len() > self.window.events.saturating_mul(2).saturating_add(1_024)
    }

    /// Takes a webhook that the current session brought.
    pub(crate) fn take(&mut self, delivery: Delivery) {
        if self.tap {
            return self.watch(delivery.webhook);
        }
        let Delivery { seq, webhook } = delivery;
        let id = webhook.id();
        if self.recent().contains(id) {
            self.status.duplicates.add(1);
            return self.settlements.push(id, seq, Outcome::Delivered);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            if job.seqs.len() < COPIES {
                return job.seqs.push(seq);
            }
            return self.settlements.push(id, seq, given_back(BEYOND_BOUND, "it is in progress already"));
        }
        if self.leaving {
            return self.settlements.push(id, seq, leaving());
        }
        if self.is_beyond_window(webhook.weight()) {
            self.beyond_window.add(1);
            let reason = "more than the connector's window was sent";
            return self.settlements.push(id, seq, given_back(BEYOND_BOUND, reason));
        }
        self.begin(vec![seq], webhook);
    }

    /// Takes a webhook of which nothing is told to the receiver. One that waits for room stops the reading.
    fn watch(&mut self, webhook: Webhook) {
        // While a better way takes over, both ways bring the same.
        if self.recent().contains(webhook.id()) || self.jobs.contains_key(&webhook.id()) {
            self.status.duplicates.add(1);
        } else if !self.leaving {
            self.begin(Vec::new(), webhook);
        }
    }

    fn begin(&mut self, seqs: Vec<u64>, mut webhook: Webhook) {
        webhook.transit.channel = self.channel.clone();
        self.jobs.insert(webhook.id(), Job::new(seqs, &webhook));
        self.waiting_bytes += webhook.weight();
        self.waiting.push_back(webhook);
        self.hand_on();
    }

    /// Notes that the receiver could not send everything to this tap.
    pub(crate) fn note_gap(&self, missed: u64, first: u64, last: u64) {
        self.status.missed.add(missed);
        let channel = &self.channel;
        warn!(%channel, missed, first, last, "this tap was too slow: it missed webhooks with sequences in this range");
    }

    /// Waits until something in progress was reported. Cancelling loses nothing.
    pub(crate) async fn reports(&mut self) -> Reports<Id> {
        self.ledger.settled().await
    }

    /// Books what was reported.
    pub(crate) fn book(&mut self, reports: Reports<Id>) {
        for (_, id, outcome) in reports.settled {
            let Some(job) = self.jobs.remove(&id) else { continue };
            self.log(id, &job, &outcome);
            if outcome == Outcome::Delivered {
                self.status.delivered.add(1);
                self.recent().insert(id);
            }
            if self.tap {
                self.status.dropped.add(u64::from(outcome != Outcome::Delivered));
                continue;
            }
            if job.seqs.is_empty() {
                self.settlements.push_earlier(id, outcome);
                continue;
            }
            for seq in job.seqs {
                self.settlements.push(id, seq, outcome.clone());
            }
        }
        self.hand_on();
    }

    /// Returns the current session's numbers of everything in progress.
    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.jobs.values().flat_map(|job| job.seqs.iter().copied()).collect()
    }

    /// Takes nothing new from now on, and gives back what was not handed on.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        if self.tap {
            // Nobody else would deliver what waits.
            return;
        }
        for webhook in self.drop_waiting() {
            let Some(job) = self.jobs.remove(&webhook.id()) else { continue };
            for seq in job.seqs {
                self.settlements.push(webhook.id(), seq, leaving());
            }
        }
        self.show();
    }

    /// Lets go of what belonged to the session.
    pub(crate) fn disconnected(&mut self) {
        if self.tap {
            // It does not come again.
            return;
        }
        for webhook in self.drop_waiting() {
            self.jobs.remove(&webhook.id());
        }
        for job in self.jobs.values_mut() {
            job.seqs.clear();
        }
        self.settlements.disconnected();
        self.show();
    }

    /// Hands on what the ledger has room for.
    fn hand_on(&mut self) {
        while let Some(webhook) = self.waiting.pop_front_if(|next| self.ledger.has_room(next.weight())) {
            self.waiting_bytes -= webhook.weight();
            let (_, ack) = self.ledger.open(webhook.weight(), webhook.id());
            // The feed is as long as the window; only one that has ended refuses, and then the ack reports.
            drop(self.feed.try_send(Event { webhook, ack }));
        }
        self.show();
    }

    fn is_beyond_window(&self, weight: usize) -> bool {
        let fits = self.waiting_bytes.saturating_add(weight) <= self.window.bytes;
        self.waiting.len() >= self.window.events || (!self.waiting.is_empty() && !fits)
    }

    fn drop_waiting(&mut self) -> VecDeque<Webhook> {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self) {
        self.status.outstanding.store(self.jobs.len(), Ordering::Relaxed);
    }

    /// Writes the flow line of one webhook.
    fn log(&self, id: Id, job: &Job, outcome: &Outcome) {
        let (outcome, cause, reason) = match outcome {
            Outcome::Abandoned { cause, reason, .. } if self.tap => {
                ("dropped", Some(cause.as_str()), reason.as_ref().map(Reason::as_str))
            }
            Outcome::Delivered => ("delivered", None, None),
            Outcome::Abandoned { cause, reason, .. } => {
                ("returned", Some(cause.as_str()), reason.as_ref().map(Reason::as_str))
            }
            Outcome::Failed { reason } => ("rejected", None, Some(reason.as_str())),
            Outcome::Refused { answer } => ("rejected", None, Some(answer.detail)),
        };
        let ms = u64::try_from(job.arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (channel, webhook, bytes) = (&self.channel, &job.webhook, job.bytes);
        info!(target: "webhook_connect::flow", %id, %channel, %webhook, bytes, ms, outcome, cause, reason, "settled");
    }
}

impl Job {
    fn new(seqs: Vec<u64>, webhook: &Webhook) -> Self {
        let (name, bytes) = (webhook.head.webhook.clone(), webhook.body.len());
        Self { seqs, webhook: name, bytes, arrived: Instant::now() }
    }
}

fn given_back(delay: Duration, reason: &str) -> Outcome {
    Outcome::Abandoned { delay: Some(delay), cause: Cause::Unreachable, reason: Some(Reason::new(reason)) }
}

fn leaving() -> Outcome {
    given_back(Duration::ZERO, "the connector is shutting down")
}

#[cfg(test)]
mod tests;
