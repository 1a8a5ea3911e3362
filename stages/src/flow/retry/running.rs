//! The loop: takes webhooks, sends them, and decides by what came back.

use std::time::Duration;

use engine::ack::{Cause, Outcome, Reason};
use engine::kind::{Context, StageError};
use engine::ledger::{Key, Ledger, Reports, Window};
use engine::meter::{Counter, Metric};
use engine::port::{Closed, Exhausted, In, Out, Verified};
use engine::webhook::Event;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use super::held::{Held, Job, Waiting};
use super::policy::{Policy, is_refused_connection, is_silence};
use super::route::Route;
use crate::flow::given_up::last_word;
use crate::flow::waiting::{at, stopped};

/// How often whoever sent a webhook is told that it is still worked on. ACK deadlines are 30 s by default.
const PROGRESS: Duration = Duration::from_secs(5);

/// The longest wait that a webhook spends here; longer ones it spends in the buffer, where they survive a restart.
const LONGEST: Duration = Duration::from_secs(3600);

/// How often the destination may leave a webhook without an answer while the others here fare no better. Where the window
/// upstream is small, they keep everybody else from coming; then it goes back, so that these have as long as it took, and
/// longer each time.
const HANGS: u32 = 3;

/// How long others have at most.
const MOST_ROOM: Duration = Duration::from_secs(600);

/// What a webhook was sent for.
enum Errand {
    /// To the destination.
    Try(Job),
    /// To whatever takes what is given up, because of this; its outcome is the last word.
    GiveUp(Job, Outcome),
}

/// A retry at work.
pub(super) struct Running {
    name: std::sync::Arc<str>,
    policy: Policy,
    window: Window,
    random: StdRng,
    retries: Counter,
    set_aside: Counter,
    out: Out<Verified>,
    exhausted: Option<Out<Exhausted>>,
    /// What is out.
    ledger: Ledger<Errand>,
    /// What waits.
    held: Held,
    route: Route,
    /// Webhooks on their way into a channel that may be full: each has its entry in the ledger, which bounds them.
    sends: FuturesUnordered<BoxFuture<'static, Result<(), Closed>>>,
    /// No more webhooks come, or everything should end: nothing is kept waiting.
    ending: bool,
}

impl Running {
    pub(super) fn new(
        cx: &Context,
        policy: Policy,
        window: Window,
        random: StdRng,
        (out, exhausted): (Out<Verified>, Option<Out<Exhausted>>),
    ) -> Self {
        Self {
            name: std::sync::Arc::clone(&cx.name),
            retries: cx.meter.counter(Metric::Retries, &cx.name, ""),
            set_aside: cx.meter.counter(Metric::SetAside, &cx.name, ""),
            policy,
            window,
            random,
            out,
            exhausted,
            ledger: Ledger::new(window),
            held: Held::half_of(window),
            route: Route::new(),
            sends: FuturesUnordered::new(),
            ending: false,
        }
    }

    /// Runs until the input has ended and nothing is out. What waits then goes back upstream.
    pub(super) async fn run(
        mut self,
        mut input: In<Verified>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StageError> {
        let mut progress = tokio::time::interval(PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.ledger.is_empty() {
            let due = self.next_due();
            tokio::select! {
                biased;
                reports = self.ledger.settled() => self.take_reports(reports),
                Some(sent) = self.sends.next() => {
                    sent.map_err(|Closed| StageError("the destination behind a retry has ended".to_owned()))?;
                }
                () = stopped(&mut stop), if !self.ending => {
                    input.close();
                    self.end();
                }
                () = at(due), if due.is_some() => self.send_due(),
                _ = progress.tick() => self.progress(),
                event = input.recv(), if open && self.has_room() => match event {
                    Some(event) => self.accept(event),
                    None => {
                        open = false;
                        self.end();
                    }
                },
            }
        }
        Ok(())
    }

    /// Tells whether everything else that is here hangs; while the route is paused, whether nothing else is here.
    fn others_hang(&self) -> bool {
        let out = self.ledger.memos().map(|errand| match errand {
            Errand::Try(job) | Errand::GiveUp(job, _) => job,
        });
        let is_open = self.route.paused().is_none();
        out.chain(self.held.jobs()).all(|job| is_open && job.unreachable >= HANGS)
    }

    fn has_room(&self) -> bool {
        let (events, bytes) = (self.ledger.len() + self.held.len(), self.ledger.bytes() + self.held.bytes());
        events == 0 || (events < self.window.events && bytes < self.window.bytes)
    }

    /// Takes a new webhook: sends it, or has it wait while the route is paused.
    fn accept(&mut self, Event { webhook, ack }: Event) {
        let mark = self.route.delivered();
        let now = Instant::now();
        let job = Job { webhook, ack, taken: now, failed: 0, unreachable: 0, mark };
        match self.route.paused() {
            // It was not tried, so nothing counts against it.
            _ if self.ending => job.ack.settle(Outcome::Abandoned {
                delay: Some(Duration::ZERO),
                cause: Cause::Unreachable,
                reason: Some(Reason::new("the pipeline is ending")),
            }),
            None => drop(self.send(job)),
            Some(tries) => {
                let (cause, not_before) = (Cause::Unreachable, None);
                let reason = Some(Reason::new("the destination is unreachable"));
                self.hold(Waiting { job, cause, reason, not_before }, now, self.policy.backoff.bound(tries));
            }
        }
    }

    fn send(&mut self, job: Job) -> Key {
        let out = self.out.clone();
        let webhook = job.webhook.clone();
        let (key, ack) = self.ledger.open(webhook.weight(), Errand::Try(job));
        self.sends.push(Box::pin(async move { out.send(Event { webhook, ack }).await }));
        key
    }

    /// Hands on what will not be tried again, or reports it upstream when nobody takes it.
    fn give_up(&mut self, job: Job, outcome: Outcome) {
        let Some(exhausted) = self.exhausted.clone() else { return job.ack.settle(outcome) };
        let webhook = job.webhook.clone();
        let (_, ack) = self.ledger.open(webhook.weight(), Errand::GiveUp(job, outcome));
        self.sends.push(Box::pin(async move { exhausted.send(Event { webhook, ack }).await }));
    }

    /// Keeps a webhook until `due`, or returns it upstream when there is no room, to come again after `otherwise`.
    fn hold(&mut self, waiting: Waiting, due: Instant, otherwise: Duration) {
        let long = due.duration_since(Instant::now()) > LONGEST;
        if self.ending || long || !self.held.has_room(waiting.job.webhook.weight()) {
            let Waiting { job, cause, reason, .. } = waiting;
            let delay = Some(otherwise).filter(|_| !self.ending);
            job.ack.settle(Outcome::Abandoned { delay, cause, reason });
        } else {
            self.held.keep(due, waiting);
        }
    }

    /// Returns when something that waits is to be sent.
    fn next_due(&self) -> Option<Instant> {
        let first = self.held.next_due()?;
        if self.route.paused().is_some() { self.route.look_at() } else { Some(first) }
    }

    /// Sends what is due; while the route is paused, one webhook to look.
    fn send_due(&mut self) {
        let now = Instant::now();
        if self.route.paused().is_none() {
            while let Some(waiting) = self.held.take_due(now) {
                self.retries.add(1);
                self.send(waiting.job);
            }
        } else if let Some(Waiting { job, .. }) = self.held.take_probe(now) {
            self.retries.add(1);
            let key = self.send(job);
            self.route.looking(key);
        }
    }

    fn take_reports(&mut self, reports: Reports<Errand>) {
        for key in reports.progressed {
            if let Some(Errand::Try(job) | Errand::GiveUp(job, _)) = self.ledger.memo(key) {
                job.ack.progress();
            }
        }
        for (key, errand, outcome) in reports.settled {
            match errand {
                Errand::Try(job) => self.tried(key, job, self.policy.judge(outcome)),
                Errand::GiveUp(job, why) => {
                    let outcome = last_word(&why, outcome);
                    self.set_aside.add(u64::from(outcome == Outcome::Delivered));
                    job.ack.settle(outcome);
                }
            }
        }
    }

    /// Decides what follows from one try.
    fn tried(&mut self, key: Key, mut job: Job, outcome: Outcome) {
        match outcome {
            Outcome::Delivered => {
                self.answered(true);
                job.ack.settle(Outcome::Delivered);
            }
            Outcome::Failed { .. } => {
                self.answered(false);
                self.give_up(job, outcome);
            }
            Outcome::Abandoned { cause: Cause::Failed, delay, reason } => {
                self.answered(false);
                self.failed(job, Cause::Failed, delay, reason);
            }
            Outcome::Abandoned { cause: Cause::Unreachable, delay, reason } => {
                if !self.policy.wait_for_unreachable {
                    return self.failed(job, Cause::Unreachable, delay, reason);
                }
                // Others got through meanwhile, so it is this webhook that takes too long.
                if is_silence(reason.as_ref()) && self.route.delivered() > job.mark {
                    job.mark = self.route.delivered();
                    self.route.forget(key);
                    self.failed(job, Cause::Failed, delay, reason);
                } else {
                    self.unreachable(key, job, delay, reason);
                }
            }
            Outcome::Abandoned { cause: Cause::Lost, .. } | Outcome::Refused { .. } => {
                self.route.forget(key);
                job.ack.settle(outcome);
            }
        }
    }

    fn answered(&mut self, delivered: bool) {
        if self.route.answered(delivered) {
            info!(stage = %self.name, waiting = self.held.len(), "destination can be reached again");
            self.held.release(Instant::now());
        }
    }

    /// The try was one of those that are counted.
    fn failed(&mut self, mut job: Job, cause: Cause, delay: Option<Duration>, reason: Option<Reason>) {
        job.failed += 1;
        if !self.policy.enabled || job.failed >= self.policy.max_attempts {
            let outcome = Outcome::Abandoned { delay, cause, reason };
            return match cause {
                Cause::Failed => self.give_up(job, outcome),
                // Only what the destination has judged is given up.
                Cause::Unreachable | Cause::Lost => job.ack.settle(outcome),
            };
        }
        let error = reason.as_ref().map_or("", Reason::as_str);
        debug!(stage = %self.name, id = %job.webhook.id(), tries = job.failed, error, "destination refused the webhook");
        let wait = self.wait(job.failed, delay);
        let otherwise = wait.max(self.policy.backoff.bound(job.failed));
        self.hold(Waiting { job, cause, reason, not_before: None }, Instant::now() + wait, otherwise);
    }

    /// The destination could not be reached, or asked to wait.
    fn unreachable(&mut self, key: Key, mut job: Job, delay: Option<Duration>, reason: Option<Reason>) {
        let cause = Cause::Unreachable;
        if !self.policy.enabled {
            return job.ack.settle(Outcome::Abandoned { delay, cause, reason });
        }
        job.unreachable = job.unreachable.saturating_add(1);
        job.mark = self.route.delivered();
        let Self { route, policy, random, .. } = self;
        let mut wait = |tries| policy.backoff.wait(tries, random).max(delay.unwrap_or_default());
        let refused = is_refused_connection(reason.as_ref());
        if route.unreachable(key, job.webhook.id(), refused, &mut wait) {
            let error = reason.as_ref().map_or("", Reason::as_str);
            warn!(stage = %self.name, error, "destination is unreachable: its route pauses");
        }
        let wait = self.wait(job.unreachable, delay);
        let otherwise = wait.max(self.policy.backoff.bound(job.unreachable));
        let now = Instant::now();
        if is_silence(reason.as_ref()) && job.unreachable >= HANGS && self.others_hang() {
            let room = job.taken.elapsed().saturating_mul(job.webhook.transit.attempt).min(MOST_ROOM);
            let delay = Some(otherwise.max(room));
            return job.ack.settle(Outcome::Abandoned { delay, cause, reason });
        }
        let not_before = delay.map(|delay| now + delay);
        self.hold(Waiting { job, cause, reason, not_before }, now + wait, otherwise);
    }

    /// Draws the wait after `tries` tries, not below what the destination asked for.
    fn wait(&mut self, tries: u32, asked: Option<Duration>) -> Duration {
        self.policy.backoff.wait(tries, &mut self.random).max(asked.unwrap_or_default())
    }

    fn progress(&self) {
        self.held.progress();
        for Errand::Try(job) | Errand::GiveUp(job, _) in self.ledger.memos() {
            job.ack.progress();
        }
    }

    /// Keeps nothing waiting any more: what waits goes back upstream.
    fn end(&mut self) {
        self.ending = true;
        for Waiting { job, cause, reason, .. } in self.held.take_all() {
            job.ack.settle(Outcome::Abandoned { delay: Some(Duration::ZERO), cause, reason });
        }
    }
}
