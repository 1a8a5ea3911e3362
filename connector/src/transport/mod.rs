//! How frames travel: a link encodes and carries them, whatever is beneath; the session knows frames only.

mod compatible;
mod dial;
pub(crate) mod fallback;
mod http;
mod network;
mod poll;
mod posts;
mod proxy;
mod sse;
mod tls;
mod watch;
mod websocket;

use std::time::Duration;

use schemars::JsonSchema;
use schemas::wire::frame::Frame;
use serde::Deserialize;
use tokio::time::Instant;

pub(crate) use dial::{ConnectError, Dialer, Way};
pub(crate) use fallback::{Fallback, Transport};
pub use network::{Dial, Network, Stream};
pub(crate) use proxy::Proxy;
pub(crate) use tls::{Tls, TlsFiles};

use self::http::HttpStream;
use self::websocket::WebSocket;

/// How to speak to the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// The best that gets through: WebSocket, else server-sent events, else long polling.
    #[default]
    Auto,
    /// WebSocket.
    Websocket,
    /// WebSocket with JSON messages, as the reference speaks it.
    WebsocketCompatible,
    /// Server-sent events.
    Sse,
    /// Long polling, which works only with receivers of this product.
    LongPoll,
}

/// What happened on a link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The frame given to [`Link::start`] was written.
    Sent,
    /// A frame arrived.
    Received(Frame),
    /// Something arrived that is no frame, and why.
    NotUnderstood(String),
    /// A sign of life beneath the frames arrived.
    Alive,
    /// The receiver closed the connection, and why.
    Closed(String),
    /// The connection is over, and why.
    Ended(String),
}

/// A connection, moving one frame each way at a time.
pub(crate) enum Link {
    WebSocket(Box<WebSocket>),
    Http(Box<HttpStream>),
}

impl Link {
    /// Connects by `transport`. Cancelling drops the connection.
    ///
    /// # Errors
    /// Why no connection came about.
    pub(crate) async fn connect(
        dialer: &std::sync::Arc<Dialer>,
        transport: Transport,
    ) -> Result<Self, ConnectError> {
        if dialer.is_tap() && !dialer.is_versioned() {
            let known = tokio::time::timeout(dial::TIMEOUT, is_known(dialer)).await;
            known.map_err(|_| ConnectError::Timeout)??;
        }
        match transport {
            Transport::WebSocket => WebSocket::connect(dialer, true).await.map(Box::new).map(Self::WebSocket),
            Transport::WebSocketCompatible => {
                WebSocket::connect(dialer, false).await.map(Box::new).map(Self::WebSocket)
            }
            Transport::Sse => sse::connect(dialer).await.map(Box::new).map(Self::Http),
            Transport::LongPoll => poll::connect(dialer).await.map(Box::new).map(Self::Http),
        }
    }

    /// Returns true when it speaks the native dialect.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self, Self::WebSocket(socket) if socket.is_native())
    }

    /// Returns how often the receiver shows life, where the receiver does not say it in its welcome.
    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        match self {
            Self::WebSocket(socket) => socket.heartbeat(),
            Self::Http(stream) => Some(stream.heartbeat()),
        }
    }

    /// Returns when something of the peer was read last, parts of messages included.
    pub(crate) fn heard(&self) -> Instant {
        match self {
            Self::WebSocket(socket) => socket.heard(),
            Self::Http(stream) => stream.heard(),
        }
    }

    /// Returns true when nothing is being sent.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::WebSocket(socket) => socket.is_idle(),
            Self::Http(stream) => stream.is_idle(),
        }
    }

    /// Begins to send `frame`. Only for an idle link.
    pub(crate) fn start(&mut self, frame: &Frame) {
        match self {
            Self::WebSocket(socket) => socket.start(frame),
            Self::Http(stream) => stream.start(frame),
        }
    }

    /// Waits for the next thing to happen; with `read` false, nothing is read. Cancelling loses nothing.
    pub(crate) async fn turn(&mut self, read: bool) -> Turn {
        match self {
            Self::WebSocket(socket) => socket.turn(read).await,
            Self::Http(stream) => stream.turn(read).await,
        }
    }

    /// Says goodbye beneath the frames. Cancelling leaves the peer to notice by itself.
    pub(crate) async fn close(self) {
        match self {
            Self::WebSocket(socket) => socket.close().await,
            Self::Http(_) => {}
        }
    }
}

/// Asks whether the receiver knows taps: one that does not would hand out to a tap what others should deliver.
async fn is_known(dialer: &Dialer) -> Result<(), ConnectError> {
    let mut http = dialer.open(dial::Through::Request).await?;
    let wrong = "`tap` works only with receivers that send webhook-connect-version";
    dialer.insist_on_version(&mut http, wrong).await
}
