//! The duty to report what became of a webhook, exactly once.
//!
//! An [`Ack`] belongs to a delivery, not to the webhook: whoever sends a webhook on makes a new duty for it, and settles
//! the old one by what the new one reports. Three homes exist: a waiter (one request that waits for its answer), an
//! entry of a [`Ledger`](crate::ledger::Ledger), and a branch of a split. Settling never waits.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::ledger::Entry;
use crate::sync::{Arc, Mutex};

/// Why a webhook was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nobody reported: a connection ended, a task stopped, a deadline passed.
    Lost,
    /// The destination cannot be reached, or asked to wait. Counts against the TTL only.
    Unreachable,
    /// The destination refused this webhook for now. Counts towards `max_deliveries`.
    Failed,
}

impl Cause {
    /// Returns the word used in logs, metrics and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// What a destination showed when it did not take a webhook, so that a retry can tell situations apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// No connection came about.
    Connect,
    /// The call was made, and no answer came: a timeout, or a connection that broke.
    Silence,
    /// It answered with this HTTP status.
    Status(u16),
}

/// A short text for people that says why; never a body, never a secret. At most [`Reason::MAX`] bytes are kept.
///
/// Beside the text it may carry the [`Symptom`], which stays within the process.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason {
    text: std::sync::Arc<str>,
    symptom: Option<Symptom>,
}

impl Reason {
    /// The longest reason that is kept, in bytes.
    pub const MAX: usize = 512;

    /// Keeps the front of `text`, cut at a character.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self { text: text[..end].into(), symptom: None }
    }

    /// Adds what the destination showed.
    #[must_use]
    pub fn showing(mut self, symptom: Symptom) -> Self {
        self.symptom = Some(symptom);
        self
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns what the destination showed, when its sink told.
    #[must_use]
    pub fn symptom(&self) -> Option<Symptom> {
        self.symptom
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// What a sender is told whose webhook was turned away, or was a handshake, before it entered the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The text of `detail`: safe to show to anybody.
    pub detail: &'static str,
    /// What this sender is told beside it.
    pub about: Option<Box<Reason>>,
    /// The value of `Retry-After`.
    pub retry_after: Option<Duration>,
    /// How the sender can prove itself: the values of `WWW-Authenticate`, each a field of its own, the best way first.
    pub challenges: Vec<Cow<'static, str>>,
    /// What the sender is told in the place of `detail`, where it did not bring a webhook but asked whether it is welcome.
    pub handshake: Option<Box<Handshake>>,
    /// What the log says beside it; never shown to the sender.
    pub reason: Option<Reason>,
}

/// What a sender is told that asked whether this is the receiver it was told to post to. It is no webhook and is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Plain text: what the sender wrote, back to it. Bounded by the gate that answers.
    Text(String),
    /// A JSON text.
    Json(String),
    /// That this origin may post (CloudEvents webhooks, section 4.2).
    Allowed {
        /// The origin, as it named itself. Visible ASCII.
        origin: String,
    },
}

impl Answer {
    /// Makes an answer with nothing beside its text.
    #[must_use]
    pub fn new(status: u16, detail: &'static str) -> Self {
        Self {
            status,
            detail,
            about: None,
            retry_after: None,
            challenges: Vec::new(),
            handshake: None,
            reason: None,
        }
    }

    /// Makes the answer to a handshake: 200.
    #[must_use]
    pub fn greeting(handshake: Handshake) -> Self {
        Self { handshake: Some(Box::new(handshake)), ..Self::new(200, "") }
    }

    /// Adds what this sender is told beside the text.
    #[must_use]
    pub fn about(mut self, text: &str) -> Self {
        self.about = Some(Box::new(Reason::new(text)));
        self
    }

    /// Adds what the log says.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(Reason::new(reason));
        self
    }

    /// Adds a `WWW-Authenticate`.
    #[must_use]
    pub fn challenging(mut self, challenge: impl Into<Cow<'static, str>>) -> Self {
        self.challenges.push(challenge.into());
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// What became of a webhook. A fan-out reports its most severe branch, in the order given here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination confirmed it.
    Delivered,
    /// Nobody settled it, or it may be tried again: after `delay`, because of `cause`.
    Abandoned {
        /// How long to wait before the next try; none leaves it to the buffer's own backoff.
        delay: Option<Duration>,
        /// Why.
        cause: Cause,
        /// Why, in words.
        reason: Option<Reason>,
    },
    /// A destination rejected it for good: dead letters.
    Failed {
        /// Why, in words.
        reason: Reason,
    },
    /// Turned away before it entered the buffer.
    Refused {
        /// What the sender is told.
        answer: Answer,
    },
}

impl Outcome {
    /// What dropping an [`Ack`] reports.
    #[must_use]
    pub fn lost() -> Self {
        Self::Abandoned { delay: None, cause: Cause::Lost, reason: None }
    }

    /// Returns how bad this is, 0 for delivered: the outcome of a fan-out is its most severe branch.
    #[must_use]
    pub fn severity(&self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Abandoned { .. } => 1,
            Self::Failed { .. } => 2,
            Self::Refused { .. } => 3,
        }
    }
}

/// The duty to report one webhook's outcome, exactly once.
///
/// Dropping an `Ack` reports [`Outcome::lost`], so a forgotten webhook is redelivered rather than lost.
#[must_use = "dropping an Ack reports the webhook as abandoned"]
pub struct Ack(Option<Home>);

enum Home {
    Waiter(oneshot::Sender<Outcome>),
    Entry(Entry),
    Branch(Arc<Split>),
}

impl Ack {
    /// Makes a duty whose report arrives at the returned receiver.
    pub fn waiter() -> (Self, oneshot::Receiver<Outcome>) {
        let (report, answer) = oneshot::channel();
        (Self(Some(Home::Waiter(report))), answer)
    }

    pub(crate) fn entry(entry: Entry) -> Self {
        Self(Some(Home::Entry(entry)))
    }

    /// Reports `outcome`. Never waits; a report that nobody waits for any more is dropped.
    pub fn settle(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    /// Says that the webhook is still being worked on, which restarts its ACK deadline where there is one.
    pub fn progress(&self) {
        match &self.0 {
            Some(Home::Entry(entry)) => entry.progress(),
            Some(Home::Branch(split)) => split.progress(),
            Some(Home::Waiter(_)) | None => {}
        }
    }

    /// Makes `branches` duties out of one. The parent is settled with the most severe outcome once every branch has
    /// reported; of equally severe ones the first counts. No branches report as abandoned.
    pub fn split(self, branches: usize) -> Vec<Self> {
        let state = State { parent: Some(self), left: branches, worst: Outcome::Delivered };
        let split = Arc::new(Split(Mutex::new(state)));
        (0..branches).map(|_| Self(Some(Home::Branch(Arc::clone(&split))))).collect()
    }

    fn report(&mut self, outcome: Outcome) {
        match self.0.take() {
            // The waiter may have gone away, which is its own business.
            Some(Home::Waiter(report)) => drop(report.send(outcome)),
            Some(Home::Entry(entry)) => entry.settle(outcome),
            Some(Home::Branch(split)) => split.settle(outcome),
            None => {}
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        self.report(Outcome::lost());
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Ack(open)" } else { "Ack(settled)" })
    }
}

/// What the branches of one duty share.
struct Split(Mutex<State>);

struct State {
    parent: Option<Ack>,
    left: usize,
    worst: Outcome,
}

impl Split {
    fn settle(&self, outcome: Outcome) {
        let done = {
            let mut state = crate::sync::lock(&self.0);
            if outcome.severity() > state.worst.severity() {
                state.worst = outcome;
            }
            state.left -= 1;
            if state.left == 0 { state.parent.take().map(|ack| (ack, state.worst.clone())) } else { None }
        };
        // Outside the lock: the parent may be a branch itself.
        if let Some((parent, worst)) = done {
            parent.settle(worst);
        }
    }

    fn progress(&self) {
        if let Some(parent) = &crate::sync::lock(&self.0).parent {
            parent.progress();
        }
    }
}

#[cfg(all(test, not(webhook_connect_loom)))]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Window};

    fn failed(why: &str) -> Outcome {
        Outcome::Failed { reason: Reason::new(why) }
    }

    #[test]
    fn a_forgotten_webhook_is_abandoned() {
        let (ack, mut answer) = Ack::waiter();
        drop(ack);
        assert_eq!(answer.try_recv(), Ok(Outcome::lost()));
    }

    #[test]
    fn a_forgotten_branch_is_abandoned() {
        let (ack, mut answer) = Ack::waiter();
        let mut branches = ack.split(2);
        branches.pop().unwrap().settle(Outcome::Delivered);
        assert!(answer.try_recv().is_err(), "one branch is still out");
        drop(branches);
        assert_eq!(answer.try_recv(), Ok(Outcome::lost()));
    }

    #[test]
    fn a_fan_out_reports_its_most_severe_branch() {
        let (ack, mut answer) = Ack::waiter();
        let [a, b, c] = <[Ack; 3]>::try_from(ack.split(3)).unwrap();
        a.settle(failed("no such table"));
        b.settle(Outcome::Delivered);
        c.settle(Outcome::lost());
        assert_eq!(answer.try_recv(), Ok(failed("no such table")));
    }

    #[test]
    fn of_equally_severe_branches_the_first_is_reported() {
        let (ack, mut answer) = Ack::waiter();
        let [a, b] = <[Ack; 2]>::try_from(ack.split(2)).unwrap();
        b.settle(failed("came first"));
        a.settle(failed("came second"));
        assert_eq!(answer.try_recv(), Ok(failed("came first")));
    }

    #[test]
    fn progress_of_a_branch_is_progress_of_what_was_split() {
        let mut ledger = Ledger::new(Window { events: 1, bytes: 1 });
        let (key, ack) = ledger.open(1, ());
        let mut branches = ack.split(2);
        let branch = branches.remove(0).split(1).remove(0);
        branch.progress();
        assert_eq!(ledger.take().progressed, [key]);
    }

    #[test]
    fn a_split_into_nothing_is_abandoned() {
        let (ack, mut answer) = Ack::waiter();
        assert!(ack.split(0).is_empty());
        assert_eq!(answer.try_recv(), Ok(Outcome::lost()));
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let reason = Reason::new(&"é".repeat(400));
        assert_eq!(reason.as_str().len(), Reason::MAX);
    }

    #[test]
    fn a_reason_keeps_what_the_destination_showed_and_prints_its_text() {
        let reason = Reason::new("503 from the destination");
        assert_eq!(reason.symptom(), None);
        let reason = reason.showing(Symptom::Status(503));
        assert_eq!(reason.symptom(), Some(Symptom::Status(503)));
        assert_eq!(
            (reason.as_str(), reason.to_string().as_str()),
            ("503 from the destination", reason.as_str())
        );
    }

    #[test]
    fn a_cause_has_its_word() {
        let words = [Cause::Lost, Cause::Unreachable, Cause::Failed].map(Cause::as_str);
        assert_eq!(words, ["lost", "unreachable", "failed"]);
    }
}
