//! How each channel stands, for people and probes.
//!
//! The stages write here and `serve_status` reads; both find the same [`Board`] among the shared resources.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use engine::kind::Resources;
use engine::meter::Counter;
use serde::Serialize;

/// Whether a channel's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Trying to connect.
    Connecting,
    /// A session is open.
    Connected,
    /// Waiting before the next try.
    Waiting,
    /// The stage has ended.
    Stopped,
}

/// How one channel stands.
#[derive(Debug)]
pub(crate) struct ChannelStatus {
    connection: Mutex<Connection>,
    /// Webhooks handed out by the receiver and not settled yet.
    pub(crate) outstanding: AtomicUsize,
    /// Webhooks that destinations confirmed.
    pub(crate) delivered: Counter,
    /// Copies that were acknowledged without calling the destination again.
    pub(crate) duplicates: Counter,
    sessions: AtomicU64,
}

#[derive(Debug)]
struct Connection {
    state: State,
    since: SystemTime,
    transport: Option<&'static str>,
    last_error: Option<String>,
}

/// What is shown of one channel.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) state: State,
    /// Seconds since 1970.
    since: u64,
    /// How the last session travels.
    transport: Option<&'static str>,
    last_error: Option<String>,
    outstanding: usize,
    delivered: u64,
    duplicates: u64,
    reconnects: u64,
}

impl ChannelStatus {
    fn new(duplicates: Counter) -> Self {
        let connection = Connection {
            state: State::Connecting,
            since: SystemTime::now(),
            transport: None,
            last_error: None,
        };
        Self {
            connection: Mutex::new(connection),
            outstanding: AtomicUsize::new(0),
            delivered: Counter::default(),
            duplicates,
            sessions: AtomicU64::new(0),
        }
    }

    /// Notes that the connection's state is now `state`.
    pub(crate) fn becomes(&self, state: State) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.state != state {
            connection.state = state;
            connection.since = SystemTime::now();
        }
    }

    /// Notes that a session is open.
    pub(crate) fn connected(&self, transport: &'static str) {
        self.becomes(State::Connected);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).transport = Some(transport);
    }

    /// Keeps the newest error.
    pub(crate) fn failed(&self, error: String) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).last_error = Some(error);
    }

    fn shown(&self) -> Shown {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let since = connection.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Shown {
            state: connection.state,
            since: since.as_secs(),
            transport: connection.transport,
            last_error: connection.last_error.clone(),
            outstanding: self.outstanding.load(Ordering::Relaxed),
            delivered: self.delivered.get(),
            duplicates: self.duplicates.get(),
            reconnects: self.sessions.load(Ordering::Relaxed).saturating_sub(1),
        }
    }
}

/// Every channel of one process, by name. As many as the configuration has.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Arc<ChannelStatus>>>);

impl Board {
    /// Returns the one board among `resources`.
    pub(crate) fn shared(resources: &Resources) -> Arc<Self> {
        let Ok(board) = resources.get_or_make("connector status", || Ok::<_, Infallible>(Self::default()));
        board
    }

    /// Returns the status of `channel`, making it at the first call.
    pub(crate) fn channel(&self, channel: &str, duplicates: Counter) -> Arc<ChannelStatus> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(ChannelStatus::new(duplicates));
        Arc::clone(channels.entry(channel.to_owned()).or_insert_with(make))
    }

    /// Returns what is shown of every channel.
    pub(crate) fn shown(&self) -> BTreeMap<String, Shown> {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.iter().map(|(name, status)| (name.clone(), status.shown())).collect()
    }
}
