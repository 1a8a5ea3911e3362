//! One case: what it proves, and how.

use std::fmt;

use futures::future::BoxFuture;

use crate::party::connector::Transport;
use crate::stand::Stand;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its stable id.
    pub id: &'static str,
    /// What it shows, in a sentence.
    pub title: &'static str,
    /// The promises it proves.
    pub proves: &'static str,
    /// Whether it means anything on a buffer that does not survive a restart.
    pub needs_durability: bool,
    /// Over which transports it is varied.
    pub varies: Varies,
    /// Its steps.
    pub run: fn(Stand) -> BoxFuture<'static, Result<(), Failed>>,
}

/// Over which transports a case is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// Over none: it runs natively.
    No,
    /// Over every transport.
    All,
    /// Over every transport but long poll, where it means nothing.
    ButLongPoll,
    /// It is about long poll alone.
    OnlyLongPoll,
}

impl Varies {
    /// Returns why the case means nothing on `transport`, when it does not.
    #[must_use]
    pub fn excludes(self, transport: Transport) -> Option<&'static str> {
        match (self, transport == Transport::LongPoll) {
            (Self::ButLongPoll, true) => Some("no connection stands between two polls"),
            (Self::OnlyLongPoll, false) => Some("it is about long poll alone"),
            (Self::No | Self::All | Self::ButLongPoll | Self::OnlyLongPoll, _) => None,
        }
    }
}

/// Why a case failed.
#[derive(Debug)]
pub struct Failed(pub String);

impl<E: fmt::Display> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Fails the case unless `holds`.
///
/// # Errors
/// What was wanted, and what was found.
pub fn ensure(holds: bool, wanted: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed(wanted())) }
}

/// Fails the case unless both are equal.
///
/// # Errors
/// Both values.
pub fn ensure_eq<T: PartialEq + fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), Failed> {
    ensure(found == wanted, || format!("{what}: wanted {wanted:?}, found {found:?}"))
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not hold, and why.
    Failed(String),
    /// It means nothing here, and why.
    Skipped(String),
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("id", &self.id).finish_non_exhaustive()
    }
}
