//! How frames travel.

mod dial;
mod proxy;
mod tls;
pub(crate) mod websocket;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use dial::{ConnectError, Dialer, Way};
pub(crate) use proxy::Proxy;
pub(crate) use tls::{Tls, TlsFiles};

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
    /// Long polling.
    LongPoll,
}
