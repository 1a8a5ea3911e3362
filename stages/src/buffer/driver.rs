//! The loop of a buffer: what frees resources first, new work last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use engine::clock;
use engine::kind::{Context, StageError};
use engine::limits::Limits;
use engine::meter::{Counter, Metric};
use engine::port::{In, Verified};
use engine::store::{Stats, Store, StoreError, Stored};
use engine::supply::Demand;
use rand::rngs::StdRng;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Buffer;
use super::changes::Changes;
use super::early::Early;
use super::episode::Episode;
use super::intake::{self, Intake, Taken};
use super::reading::Reading;
use super::sessions::{SessionId, Sessions};
use super::taps::Taps;
use super::tracked::Tracked;

/// Drives one channel's buffer.
pub(super) struct Driver<S> {
    pub(super) channel: ByteString,
    pub(super) limits: Limits,
    pub(super) store: Arc<S>,
    pub(super) cx: Context,
    pub(super) intake: Intake<S>,
    pub(super) changes: Changes<S>,
    pub(super) reading: Reading<S>,
    pub(super) sessions: Sessions,
    pub(super) tracked: Tracked,
    /// What was confirmed by its id before it was handed out here.
    pub(super) early: Early,
    /// Fresh webhooks read ahead, in order.
    pub(super) fresh: VecDeque<Stored>,
    /// Webhooks that are due again and were read.
    pub(super) again: VecDeque<Stored>,
    /// Nothing fresh up to here is left unread.
    pub(super) cursor: u64,
    /// When flights become overdue, as far as known: one that showed progress since is put back when it is looked at.
    pub(super) deadlines: BTreeSet<(Instant, SessionId, engine::ledger::Key)>,
    /// How many of the oldest must still go to make room.
    pub(super) displaced: usize,
    pub(super) random: StdRng,
    pub(super) full: Episode,
    /// Work of the store that fails, by what it is.
    pub(super) broken: BTreeMap<&'static str, Episode>,
    pub(super) unbalanced: Episode,
    pub(super) refused: Counter,
    pub(super) store_errors: Counter,
}

impl<S: Store> Driver<S> {
    pub(super) fn new(buffer: Buffer<S>) -> Self {
        let Buffer { channel, limits, store, cx } = buffer;
        let store = Arc::new(store);
        Self {
            intake: Intake::new(Arc::clone(&store), Taps::new(channel.as_str().into(), limits.ttl())),
            changes: Changes::new(Arc::clone(&store)),
            reading: Reading::new(Arc::clone(&store)),
            sessions: Sessions::new(limits.window()),
            tracked: Tracked::default(),
            early: Early::default(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            cursor: 0,
            deadlines: BTreeSet::new(),
            displaced: 0,
            random: cx.random(),
            full: Episode::default(),
            broken: BTreeMap::new(),
            unbalanced: Episode::default(),
            refused: cx.meter.counter(Metric::Limits, &channel, "queue"),
            store_errors: cx.meter.counter(Metric::StoreErrors, &channel, ""),
            channel: channel.into(),
            limits,
            store,
            cx,
        }
    }

    /// Runs until the input has ended, every session has gone and every change is durable.
    pub(super) async fn run(mut self, mut input: In<Verified>, mut demand: Demand) -> Result<(), StageError> {
        self.recover().await;
        let bell = self.sessions.bell();
        let mut batch = Vec::new();
        let mut open = true;
        while open || !self.is_settled() {
            self.hand_out();
            self.read_ahead();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = bell.rung() => self.collect(),
                result = self.changes.committed() => {
                    self.note("commit", result.err());
                    let stats = self.store.stats();
                    self.has_room_again(&stats);
                    self.audit(stats);
                }
                taken = self.intake.taken() => self.on_taken(taken),
                read = self.reading.done() => self.on_read(read),
                () = self.sessions.changed() => self.collect(),
                Some(request) = demand.next() => self.answer(request),
                () = sleep_until(wake) => self.on_time(),
                taken = input.recv_many(&mut batch, intake::BATCH), if open && self.intake.has_room() => {
                    open = taken > 0;
                    self.accept(&mut batch);
                }
            }
        }
        Ok(())
    }

    /// Puts what the store had deferred under timers again.
    async fn recover(&mut self) {
        let deferred = loop {
            match self.store.deferred().await {
                Ok(deferred) => break deferred,
                Err(error) => self.note("read", Some(error)),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let (now, clock) = (Instant::now(), clock::now());
        for one in deferred {
            let wait = one.until.and_then(|until| until.duration_since(clock).ok()).unwrap_or_default();
            let until = self.not_after_expiry(now + wait, one.received);
            self.tracked.recover(one.sequence, one.received, one.tries, until);
        }
    }

    fn is_settled(&self) -> bool {
        self.sessions.is_empty() && self.changes.is_empty() && self.intake.is_idle()
    }

    fn accept(&mut self, batch: &mut Vec<engine::webhook::Event>) {
        let met = self.intake.take(batch, &self.limits);
        self.refused.add(met as u64);
        if met > 0 {
            self.meets_bound();
        }
    }

    /// Says when the queue begins to be full, and not again before it was well below its bounds.
    fn meets_bound(&mut self) {
        if self.full.begins() {
            warn!(channel = %self.channel, max_queue_size = self.limits.max_queue_size,
                max_queue_bytes = self.limits.max_queue_bytes, overflow = ?self.limits.overflow, "the queue is full");
        }
    }

    fn has_room_again(&mut self, stats: &Stats) {
        let below = |now: u64, most: u64| now <= most - most / 10;
        let room = below(stats.live, self.limits.max_queue_size)
            && below(stats.live_bytes, self.limits.max_queue_bytes);
        if room && let Some(times) = self.full.ends() {
            info!(channel = %self.channel, times, "the queue has room again");
        }
    }

    fn on_taken(&mut self, taken: Taken) {
        match taken {
            Taken::Stored(displaced) => {
                self.displaced += displaced;
                self.note("append", None);
            }
            Taken::Failed(error) => self.note("append", Some(error)),
        }
    }

    /// Says when webhooks are accepted and not accounted for, which never happens unless something is wrong here.
    pub(super) fn audit(&mut self, stats: Stats) {
        let imbalance = stats.imbalance();
        if imbalance == 0 {
            if self.unbalanced.ends().is_some() {
                info!(channel = %self.channel, "the audit balances again");
            }
        } else if self.unbalanced.begins() {
            error!(channel = %self.channel, imbalance, ?stats,
                "the audit does not balance: webhooks are not accounted for; keep the buffer as it is and report this");
        }
    }

    /// Says when the store begins to fail at something and when it is well again.
    pub(super) fn note(&mut self, what: &'static str, error: Option<StoreError>) {
        let episode = self.broken.entry(what).or_default();
        match error {
            Some(error) => {
                self.store_errors.add(1);
                if episode.begins_with(&error.to_string()) {
                    let meanwhile = if what == "append" { "senders get 503" } else { "it is repeated" };
                    error!(channel = %self.channel, what, %error, "the store fails; {meanwhile} until it is well");
                }
            }
            None => {
                if let Some(times) = episode.ends() {
                    info!(channel = %self.channel, what, times, "the store is well again");
                }
            }
        }
    }

    /// Returns true while new webhooks cannot be stored.
    pub(super) fn is_failing(&self) -> bool {
        self.broken.get("append").is_some_and(Episode::lasts)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
