//! The loop: takes webhooks, sends them to their links, and reports upstream.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use engine::ack::{Ack, Cause, Outcome, Reason};
use engine::kind::{Context, StageError};
use engine::ledger::{Ledger, Reports, Window};
use engine::meter::{Counter, Metric};
use engine::port::{Closed, Exhausted, In, Out, Verified};
use engine::webhook::{Event, Id};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use super::job::{Job, Rules, State, Step};
use super::memory::Memory;
use crate::flow::given_up::last_word;
use crate::flow::waiting::{at, stopped};

/// How often whoever sent a webhook is told that it is still worked on. ACK deadlines are 30 s by default.
const PROGRESS: Duration = Duration::from_secs(5);

/// When a second copy of a webhook that is in progress may come again.
const IN_PROGRESS: Duration = Duration::from_secs(5);

/// What a webhook was sent for.
enum Errand {
    /// To this link.
    Link(Id, usize),
    /// To whatever takes what is given up; its outcome is the last word.
    GiveUp(Aside),
}

/// A webhook that was given up.
struct Aside {
    id: Id,
    links: Vec<State>,
    ack: Ack,
    why: Outcome,
}

/// One link at work.
struct Way {
    out: Out<Verified>,
    /// Webhooks that are out, those that nobody waits for any more included.
    busy: usize,
    failures: Counter,
}

/// A chain at work.
pub(super) struct Running {
    name: Arc<str>,
    rules: Rules,
    window: Window,
    ways: Vec<Way>,
    exhausted: Option<Out<Exhausted>>,
    set_aside: Counter,
    ledger: Ledger<Errand>,
    jobs: HashMap<Id, Job>,
    bytes: usize,
    next: u64,
    /// When which job is overdue.
    deadlines: BTreeMap<(Instant, u64), Id>,
    memory: Memory,
    /// Webhooks on their way into a channel that may be full: each has its entry in the ledger.
    sends: FuturesUnordered<BoxFuture<'static, Result<(), Closed>>>,
    ending: bool,
}

impl Running {
    pub(super) fn new(
        cx: &Context,
        rules: Rules,
        window: Window,
        links: Vec<Out<Verified>>,
        exhausted: Option<Out<Exhausted>>,
    ) -> Self {
        let way = |(at, out)| Way {
            out,
            busy: 0,
            failures: cx.meter.counter(Metric::BestEffort, &cx.name, &rules.name(at)),
        };
        Self {
            name: Arc::clone(&cx.name),
            ways: links.into_iter().enumerate().map(way).collect(),
            rules,
            window,
            exhausted,
            set_aside: cx.meter.counter(Metric::SetAside, &cx.name, ""),
            // The jobs and the links have their bounds; an entry is one link of one job.
            ledger: Ledger::new(Window { events: usize::MAX, bytes: usize::MAX }),
            jobs: HashMap::new(),
            bytes: 0,
            next: 0,
            deadlines: BTreeMap::new(),
            memory: Memory::default(),
            sends: FuturesUnordered::new(),
            ending: false,
        }
    }

    /// Runs until the input has ended and nothing is out.
    pub(super) async fn run(
        mut self,
        mut input: In<Verified>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), StageError> {
        let mut progress = tokio::time::interval(PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.ledger.is_empty() {
            let due = self.deadlines.keys().next().map(|(due, _)| *due);
            tokio::select! {
                biased;
                reports = self.ledger.settled() => self.take_reports(reports),
                Some(sent) = self.sends.next() => {
                    // Told to stop, stages end in any order, and what they do not take is delivered again.
                    if sent == Err(Closed) && !self.ending && !is_stopped(&stop) {
                        return Err(StageError("what follows a chain has ended".to_owned()));
                    }
                }
                () = stopped(&mut stop), if !self.ending => {
                    input.close();
                    self.ending = true;
                }
                () = at(due), if due.is_some() => self.end_overdue(),
                _ = progress.tick() => self.progress(),
                event = input.recv(), if open && self.has_room() => match event {
                    Some(event) => self.accept(event),
                    None => open = false,
                },
            }
        }
        Ok(())
    }

    /// Tells whether another webhook may be taken: within the window, and no required link is far behind.
    fn has_room(&self) -> bool {
        let fits = self.jobs.len() < self.window.events && self.bytes < self.window.bytes;
        let mut required = self.ways.iter().zip(&self.rules.links).filter(|(_, link)| link.required);
        self.ending || (fits && required.all(|(way, _)| way.busy < self.window.events))
    }

    fn accept(&mut self, Event { webhook, ack }: Event) {
        let id = webhook.id();
        if self.ending {
            // Dropping it returns it at once: it was not sent.
            return drop(ack);
        }
        if self.jobs.contains_key(&id) {
            let reason = Some(Reason::new("it is in progress already"));
            let cause = Cause::Unreachable;
            return ack.settle(Outcome::Abandoned { delay: Some(IN_PROGRESS), cause, reason });
        }
        let links = self.memory.recall(id).unwrap_or_else(|| vec![State::Next; self.ways.len()]);
        let number = self.next;
        self.next += 1;
        let deadline = self.rules.timeout.map(|timeout| Instant::now() + timeout);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, number), id);
        }
        self.bytes += webhook.weight();
        self.jobs.insert(id, Job { number, webhook, ack, links, deadline });
        self.advance(id);
    }

    /// Sends a webhook to the links whose turn it is, and reports it when there are none left.
    fn advance(&mut self, id: Id) {
        while let Some(job) = self.jobs.get_mut(&id) {
            match self.rules.step(&job.links) {
                Step::Send(at) => {
                    let way = &mut self.ways[at];
                    if way.busy >= self.window.events && !self.rules.links[at].required {
                        let outcome = Outcome::Abandoned {
                            delay: None,
                            cause: Cause::Unreachable,
                            reason: Some(Reason::new("it is busy with earlier webhooks")),
                        };
                        self.reported(id, at, outcome);
                        continue;
                    }
                    way.busy += 1;
                    job.links[at] = State::Out;
                    let (webhook, out) = (job.webhook.clone(), way.out.clone());
                    let (_, ack) = self.ledger.open(webhook.weight(), Errand::Link(id, at));
                    self.sends.push(Box::pin(async move { out.send(Event { webhook, ack }).await }));
                }
                Step::Wait => return,
                Step::Done => return self.finish(id),
            }
        }
    }

    fn take_reports(&mut self, reports: Reports<Errand>) {
        for key in reports.progressed {
            match self.ledger.memo(key) {
                Some(Errand::Link(id, _)) => self.jobs.get(id).into_iter().for_each(|job| job.ack.progress()),
                Some(Errand::GiveUp(aside)) => aside.ack.progress(),
                None => {}
            }
        }
        for (_, errand, outcome) in reports.settled {
            match errand {
                Errand::Link(id, at) => {
                    self.ways[at].busy -= 1;
                    self.reported(id, at, outcome);
                    self.advance(id);
                }
                Errand::GiveUp(Aside { id, links, ack, why }) => {
                    let outcome = last_word(&why, outcome);
                    self.set_aside.add(u64::from(outcome == Outcome::Delivered));
                    self.settle(id, links, ack, outcome);
                }
            }
        }
    }

    /// Books what one link did.
    fn reported(&mut self, id: Id, at: usize, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(&id) else {
            let late = if outcome == Outcome::Delivered { State::Confirmed } else { State::Next };
            return self.memory.note(id, at, late);
        };
        if outcome == Outcome::Delivered {
            job.links[at] = State::Confirmed;
        } else if job.links[at] != State::Confirmed {
            if !self.rules.links[at].required {
                let why = match &outcome {
                    Outcome::Abandoned { reason: Some(reason), .. } | Outcome::Failed { reason } => {
                        reason.as_str()
                    }
                    Outcome::Delivered | Outcome::Abandoned { .. } | Outcome::Refused { .. } => "",
                };
                self.ways[at].failures.add(1);
                warn!(stage = %self.name, %id, link = self.rules.name(at), error = why, "a best-effort link failed");
            }
            job.links[at] = State::Failed(outcome);
        }
    }

    /// Reports the webhooks whose links took too long together.
    fn end_overdue(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.deadlines.first_entry().filter(|entry| entry.key().0 <= now) {
            let id = entry.remove();
            if let Some(job) = self.jobs.get(&id) {
                for (at, _) in job.links.iter().enumerate().filter(|(_, state)| **state == State::Out) {
                    if !self.rules.links[at].required {
                        self.ways[at].failures.add(1);
                        let error = self.rules.overdue();
                        warn!(stage = %self.name, %id, link = self.rules.name(at), error, "a best-effort link failed");
                    }
                }
            }
            self.finish(id);
        }
    }

    /// Reports a webhook upstream, or hands on what is given up.
    fn finish(&mut self, id: Id) {
        let Some(Job { number, webhook, ack, links, deadline }) = self.jobs.remove(&id) else { return };
        self.bytes -= webhook.weight();
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, number));
        }
        let outcome = self.rules.verdict(&links);
        let is_given_up = match &outcome {
            Outcome::Failed { .. } | Outcome::Abandoned { cause: Cause::Failed, .. } => true,
            Outcome::Delivered | Outcome::Abandoned { .. } | Outcome::Refused { .. } => false,
        };
        match self.exhausted.clone().filter(|_| is_given_up) {
            Some(exhausted) => {
                let aside = Aside { id, links, ack, why: outcome };
                let (_, ack) = self.ledger.open(webhook.weight(), Errand::GiveUp(aside));
                self.sends.push(Box::pin(async move { exhausted.send(Event { webhook, ack }).await }));
            }
            None => self.settle(id, links, ack, outcome),
        }
    }

    fn settle(&mut self, id: Id, links: Vec<State>, ack: Ack, outcome: Outcome) {
        if matches!(outcome, Outcome::Abandoned { .. }) {
            self.memory.keep(id, links);
        }
        ack.settle(outcome);
    }

    fn progress(&self) {
        self.jobs.values().for_each(|job| job.ack.progress());
        for errand in self.ledger.memos() {
            match errand {
                Errand::GiveUp(aside) => aside.ack.progress(),
                Errand::Link(..) => {}
            }
        }
    }
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow()
}
