//! How each channel stands, for people and probes.
//!
//! The stages write here and `serve_status` reads; both find the same [`Board`] among the shared resources.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use engine::clock;
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
    tap: AtomicBool,
    /// Webhooks handed out by the receiver and not settled yet.
    pub(crate) outstanding: AtomicUsize,
    /// Webhooks that destinations confirmed.
    pub(crate) delivered: Counter,
    /// Webhooks that a tap was told it missed.
    pub(crate) missed: Counter,
    /// Webhooks that the destinations of a tap did not take.
    pub(crate) dropped: Counter,
    /// Copies that were acknowledged without calling the destination again.
    pub(crate) duplicates: Counter,
    sessions: AtomicU64,
}

#[derive(Debug)]
struct Connection {
    state: State,
    since: SystemTime,
    transport: Option<&'static str>,
    last_error: Option<(String, SystemTime)>,
}

/// What is shown of one channel.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) state: State,
    /// What only taps have.
    #[serde(flatten)]
    tap: Option<OfTap>,
    /// Seconds since 1970.
    since: u64,
    /// How the last session travels.
    transport: Option<&'static str>,
    /// Why there was no connection the last time there was none.
    last_error: Option<String>,
    /// When that was, in seconds since 1970.
    last_error_at: Option<u64>,
    outstanding: usize,
    delivered: u64,
    duplicates: u64,
    reconnects: u64,
}

/// What is shown of a tap only.
#[derive(Debug, Serialize)]
struct OfTap {
    /// Always true: nothing here is settled with the receiver.
    tap: bool,
    missed: u64,
    dropped: u64,
}

impl ChannelStatus {
    fn new(duplicates: Counter) -> Self {
        let connection =
            Connection { state: State::Connecting, since: clock::now(), transport: None, last_error: None };
        Self {
            connection: Mutex::new(connection),
            tap: AtomicBool::new(false),
            missed: Counter::default(),
            dropped: Counter::default(),
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
            connection.since = clock::now();
        }
    }

    /// Notes whether the channel is only watched.
    pub(crate) fn watches(&self, tap: bool) {
        self.tap.store(tap, Ordering::Relaxed);
    }

    /// Notes that a session is open.
    pub(crate) fn connected(&self, transport: &'static str) {
        self.becomes(State::Connected);
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).transport = Some(transport);
    }

    /// Keeps the newest error.
    pub(crate) fn failed(&self, error: String) {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).last_error =
            Some((error, clock::now()));
    }

    fn shown(&self) -> Shown {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let unix = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Shown {
            state: connection.state,
            tap: self.tap.load(Ordering::Relaxed).then(|| OfTap {
                tap: true,
                missed: self.missed.get(),
                dropped: self.dropped.get(),
            }),
            since: unix(connection.since),
            transport: connection.transport,
            last_error: connection.last_error.as_ref().map(|(error, _)| error.clone()),
            last_error_at: connection.last_error.as_ref().map(|(_, at)| unix(*at)),
            outstanding: self.outstanding.load(Ordering::Relaxed),
            delivered: self.delivered.get(),
            duplicates: self.duplicates.get(),
            reconnects: self.sessions.load(Ordering::Relaxed).saturating_sub(1),
        }
    }
}

/// Every channel of one process, by name. As many as the configuration has.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Place>>);

/// A channel on the board, with how many pipelines want it there: while one replaces another, both do.
#[derive(Debug)]
struct Place {
    status: Arc<ChannelStatus>,
    wanted: usize,
}

/// Keeps a channel on the board while it lives.
pub(crate) struct Posted {
    board: Arc<Board>,
    channel: String,
}

impl Board {
    /// Returns the one board among `resources`.
    pub(crate) fn shared(resources: &Resources) -> Arc<Self> {
        let Ok(board) = resources.get_or_make("connector status", || Ok::<_, Infallible>(Self::default()));
        board
    }

    /// Returns the status of `channel`, making it at the first call, and what keeps it here.
    pub(crate) fn post(self: &Arc<Self>, channel: &str, duplicates: Counter) -> (Arc<ChannelStatus>, Posted) {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Place { status: Arc::new(ChannelStatus::new(duplicates)), wanted: 0 };
        let place = channels.entry(channel.to_owned()).or_insert_with(make);
        place.wanted += 1;
        (Arc::clone(&place.status), Posted { board: Arc::clone(self), channel: channel.to_owned() })
    }

    /// Returns what is shown of every channel.
    pub(crate) fn shown(&self) -> BTreeMap<String, Shown> {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.iter().map(|(name, place)| (name.clone(), place.status.shown())).collect()
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut channels = self.board.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = channels.get_mut(&self.channel) {
            place.wanted = place.wanted.saturating_sub(1);
            if place.wanted == 0 {
                channels.remove(&self.channel);
            }
        }
    }
}
