//! What happened, and what must never happen.
//!
//! Every webhook of a run has a number, which its body begins with. The book knows what became of each, checks every step
//! as it is taken, and keeps the trace by which two runs are compared.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use engine::store::ParkCause;
use engine::webhook::{Id, Webhook};
use tokio::time::Instant;

/// Everything that happened in one run.
#[derive(Debug)]
pub(crate) struct Book(Mutex<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    trace: Vec<(Duration, String)>,
    webhooks: BTreeMap<u32, Fate>,
    violations: Vec<String>,
}

/// What became of one webhook.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    /// Its body, as it was posted.
    body: Vec<u8>,
    /// When its sender was answered 2xx.
    accepted: Option<Instant>,
    /// The id it was committed under.
    committed: Option<Id>,
    /// How often a destination was called with it, and how often it confirmed.
    calls: u32,
    confirmed: u32,
    /// It left the buffer.
    removed: bool,
    /// It is in the dead letters.
    parked: Option<ParkCause>,
}

impl Fate {
    fn is_settled(&self) -> bool {
        self.removed || self.parked.is_some()
    }
}

/// Returns the number of a webhook.
pub(crate) fn number(webhook: &Webhook) -> u32 {
    let digits = webhook.body.get(..8).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

impl Book {
    pub(crate) fn new() -> Self {
        let (trace, webhooks, violations) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self(Mutex::new(State { began: Instant::now(), trace, webhooks, violations }))
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, what: String) {
        self.lock().note(what);
    }

    /// Says that something happened that must never happen.
    pub(crate) fn violated(&self, what: String) {
        self.lock().violated(what);
    }

    /// Notes a webhook that is about to be posted and returns its number and body.
    pub(crate) fn posts(&self, length: usize) -> (u32, Vec<u8>) {
        let mut state = self.lock();
        let number = state.webhooks.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut body = format!("{number:08} ").into_bytes();
        body.extend((0..length).map(|at| (at * 31 + number as usize) as u8));
        state.webhooks.insert(number, Fate { body: body.clone(), ..Fate::default() });
        (number, body)
    }

    /// A sender was answered. Its 2xx must come after the commit.
    pub(crate) fn answered(&self, number: u32, status: Option<u16>) {
        let mut state = self.lock();
        state.note(format!("#{number} is answered {status:?}"));
        if !status.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        let now = Instant::now();
        let fate = state.fate(number);
        fate.accepted = Some(now);
        if fate.committed.is_none() {
            state.violated(format!("G1: #{number} is answered 2xx and not committed"));
        }
    }

    /// A store has committed a webhook.
    pub(crate) fn committed(&self, webhook: &Webhook, sequence: u64) {
        let (number, id) = (number(webhook), webhook.id());
        let mut state = self.lock();
        state.note(format!("#{number} is committed as {sequence}"));
        if state.fate(number).committed.replace(id).is_some_and(|before| before != id) {
            state.violated(format!("G17: #{number} is committed under two ids"));
        }
        state.check_body(number, webhook);
    }

    /// A destination is called.
    pub(crate) fn called(&self, webhook: &Webhook, who: usize) -> u32 {
        let number = number(webhook);
        let mut state = self.lock();
        let fate = state.fate(number);
        fate.calls += 1;
        let (calls, committed) = (fate.calls, fate.committed);
        state.note(format!("#{number} call {calls} by connector {who}, attempt {}", webhook.transit.attempt));
        if committed != Some(webhook.id()) {
            state.violated(format!("G17: #{number} is delivered under another id than its own"));
        }
        state.check_body(number, webhook);
        calls
    }

    /// A destination has confirmed.
    pub(crate) fn confirmed(&self, number: u32) {
        let mut state = self.lock();
        state.note(format!("#{number} is confirmed"));
        state.fate(number).confirmed += 1;
    }

    /// A webhook leaves the buffer as delivered, which its destination must have confirmed.
    pub(crate) fn removed(&self, number: u32) {
        let mut state = self.lock();
        state.note(format!("#{number} leaves the buffer"));
        let fate = state.fate(number);
        (fate.removed, fate.parked) = (true, None);
        if fate.confirmed == 0 {
            state.violated(format!("G2: #{number} leaves the buffer and no destination confirmed it"));
        }
    }

    /// A webhook goes into the dead letters.
    pub(crate) fn parked(&self, number: u32, cause: ParkCause, reason: &str) {
        let mut state = self.lock();
        state.note(format!("#{number} is parked, {}: {reason}", cause.as_str()));
        state.fate(number).parked = Some(cause);
    }

    /// Returns the numbers that were answered 2xx and are neither delivered nor in the dead letters.
    pub(crate) fn unsettled(&self) -> Vec<u32> {
        let state = self.lock();
        let open = state.webhooks.iter().filter(|(_, fate)| fate.accepted.is_some() && !fate.is_settled());
        open.map(|(number, _)| *number).collect()
    }

    /// Returns what became of a webhook: answered 2xx, confirmed, parked.
    pub(crate) fn fate(&self, number: u32) -> (bool, bool, Option<ParkCause>) {
        let mut state = self.lock();
        let fate = state.fate(number);
        (fate.accepted.is_some(), fate.confirmed > 0, fate.parked)
    }

    /// Returns true when a webhook was confirmed or is in the dead letters.
    pub(crate) fn is_done(&self, number: u32) -> bool {
        let (_, confirmed, parked) = self.fate(number);
        confirmed || parked.is_some()
    }

    /// Returns every number.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.lock().webhooks.keys().copied().collect()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Returns how many webhooks were accepted, and how often destinations confirmed.
    pub(crate) fn counts(&self) -> (usize, u32) {
        let state = self.lock();
        let accepted = state.webhooks.values().filter(|fate| fate.accepted.is_some()).count();
        (accepted, state.webhooks.values().map(|fate| fate.confirmed).sum())
    }

    /// Returns a number that two runs share only when the same happened at the same times.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lock().trace.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the trace, one line per event.
    pub(crate) fn trace(&self) -> Vec<String> {
        let state = self.lock();
        state.trace.iter().map(|(at, what)| format!("{:>12.6} {what}", at.as_secs_f64())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn fate(&mut self, number: u32) -> &mut Fate {
        self.webhooks.entry(number).or_default()
    }

    fn note(&mut self, what: String) {
        self.trace.push((self.began.elapsed(), what));
    }

    fn violated(&mut self, what: String) {
        self.note(format!("VIOLATED {what}"));
        self.violations.push(what);
    }

    fn check_body(&mut self, number: u32, webhook: &Webhook) {
        if self.fate(number).body != webhook.body {
            self.violated(format!("G4: #{number} has another body than was posted"));
        }
    }
}
