//! One case: what it proves, and how.

use std::fmt;

use futures::future::BoxFuture;

use crate::party::transport::Transport;
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
    /// What it needs of the receiver.
    pub needs: Need,
    /// Over which transports it is varied.
    pub varies: Varies,
    /// Its steps.
    pub run: fn(Stand) -> BoxFuture<'static, Result<(), Failed>>,
}

/// What a case needs of the receiver beside an entry to post to and the channel it feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it runs against any receiver, whoever started it.
    Nothing,
    /// Its admin API.
    Admin,
    /// Time: it waits for the ACK deadline of the channel, which others may use meanwhile.
    Deadline,
    /// A receiver of its own with settings of its own; these.
    Settings(&'static str),
    /// A receiver of its own that it kills and starts again.
    Restart,
    /// The product's own connector beside its own receiver.
    Connector,
}

impl Need {
    /// Returns why the case cannot run against a receiver that the suite did not start, when it cannot.
    #[must_use]
    pub fn unmet_there(self, has_admin: bool) -> Option<String> {
        match self {
            Self::Nothing | Self::Deadline => None,
            Self::Admin if has_admin => None,
            Self::Admin => Some("it reads the admin API: give --admin-token".to_owned()),
            Self::Settings(which) => Some(format!("it needs a receiver with settings of its own: {which}")),
            Self::Restart => {
                Some("it kills and restarts the receiver, which the suite did not start".to_owned())
            }
            Self::Connector => Some("it is about the connector: conform --connector".to_owned()),
        }
    }
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
    ensure(found == wanted, || format!("{what}: expected {wanted:?}, found {found:?}"))
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
