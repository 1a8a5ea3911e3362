//! Whether the destination can be reached.
//!
//! Open: webhooks go through. Paused: they wait, and one at a time is sent to look. The route pauses when no connection
//! comes about, or when [`PATIENCE`] different webhooks in a row found the destination unreachable; so one webhook that
//! the destination chokes on pauses nothing.

use std::time::Duration;

use engine::ledger::Key;
use engine::webhook::Id;
use tokio::time::Instant;

/// How many different webhooks in a row must find the destination unreachable.
const PATIENCE: usize = 3;

/// The longest pause between two looks, whatever the destination asks for.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is known about reaching the destination.
#[derive(Debug)]
pub(super) struct Route {
    state: State,
    /// The different webhooks that found it unreachable since the last answer. At most [`PATIENCE`].
    streak: Vec<Id>,
    delivered: u64,
}

#[derive(Debug)]
enum State {
    Open,
    Paused {
        /// Looks in a row that found it unreachable, the first sight included.
        tries: u32,
        /// When to look again.
        until: Instant,
        /// The webhook that is looking.
        probe: Option<Key>,
    },
}

/// How long to wait, when told how often it was in vain.
pub(super) type Wait<'a> = &'a mut dyn FnMut(u32) -> Duration;

impl Route {
    pub(super) fn new() -> Self {
        Self { state: State::Open, streak: Vec::new(), delivered: 0 }
    }

    /// Returns how many webhooks were delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns how often it was looked in vain while the route is paused.
    pub(super) fn paused(&self) -> Option<u32> {
        match self.state {
            State::Open => None,
            State::Paused { tries, .. } => Some(tries),
        }
    }

    /// Returns when the next webhook may be sent to look: never while one is out.
    pub(super) fn look_at(&self) -> Option<Instant> {
        match self.state {
            State::Paused { until, probe: None, .. } => Some(until),
            State::Open | State::Paused { .. } => None,
        }
    }

    /// Notes which webhook was sent to look.
    pub(super) fn looking(&mut self, key: Key) {
        if let State::Paused { probe, .. } = &mut self.state {
            *probe = Some(key);
        }
    }

    /// Notes that the destination answered; returns true when that opens a paused route.
    pub(super) fn answered(&mut self, delivered: bool) -> bool {
        self.delivered += u64::from(delivered);
        self.streak.clear();
        // Paused => Open: the destination answered, whatever it said.
        matches!(std::mem::replace(&mut self.state, State::Open), State::Paused { .. })
    }

    /// Notes that the webhook found the destination unreachable; returns true when that pauses an open route.
    pub(super) fn unreachable(&mut self, key: Key, id: Id, refused_connection: bool, wait: Wait<'_>) -> bool {
        if !self.streak.contains(&id) && self.streak.len() < PATIENCE {
            self.streak.push(id);
        }
        match &mut self.state {
            State::Open if refused_connection || self.streak.len() >= PATIENCE => {
                // Open => Paused: nothing gets through.
                self.state = State::Paused { tries: 1, until: later(wait(1)), probe: None };
                true
            }
            State::Paused { tries, until, probe } if *probe == Some(key) => {
                // Paused => Paused: the look was in vain.
                *tries = tries.saturating_add(1);
                *until = later(wait(*tries));
                *probe = None;
                false
            }
            State::Open | State::Paused { .. } => false,
        }
    }

    /// Notes that nobody will report on the webhook any more, so that another may look.
    pub(super) fn forget(&mut self, key: Key) {
        if let State::Paused { probe, .. } = &mut self.state
            && *probe == Some(key)
        {
            *probe = None;
        }
    }
}

fn later(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST)
}
