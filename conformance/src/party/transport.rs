//! The ways between receiver and connector.

/// How a connector is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket with the native dialect.
    WebSocket,
    /// WebSocket with the compatible dialect.
    WebSocketCompatible,
    /// Server-sent events.
    Sse,
    /// Long poll.
    LongPoll,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::WebSocketCompatible, Self::Sse, Self::LongPoll];

    /// Returns its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::WebSocketCompatible => "websocket_compatible",
            Self::Sse => "sse",
            Self::LongPoll => "long_poll",
        }
    }

    /// Returns true when acknowledgements go by HTTP.
    #[must_use]
    pub fn settles_by_http(self) -> bool {
        matches!(self, Self::Sse | Self::LongPoll)
    }
}
