//! The compatible dialect: the JSON of the reference, with fields of our own that old ends ignore.
//!
//! What receivers say is in [`FromReceiver`], what connectors say in [`FromConnector`]; either end encodes its own and
//! decodes the other's. One JSON object is one WebSocket text message, the data of one server-sent event, or an item of a
//! poll's answer.
//!
//! Decoding takes what the reference sends: unknown fields mean nothing, and what is missing has the reference's default.

mod read;
mod told;
mod write;

use bytestring::ByteString;
use engine::ack::Outcome;
use engine::ledger::Window;
use engine::webhook::Webhook;
use serde::{Deserialize, Serialize};

pub use write::{
    connected, connected_data, gap, heartbeat, heartbeat_data, is_json, longest, polled, webhook,
};

/// The header with the largest frame a connector takes, in bytes.
pub const MAX_FRAME_HEADER: &str = "webhook-connect-max-frame";

/// The header with a connector's window: `EVENTS;BYTES`.
pub const WINDOW_HEADER: &str = "webhook-connect-window";

/// The header whose value `1` makes a connection a tap.
pub const TAP_HEADER: &str = "webhook-connect-tap";

/// The largest WebSocket message of connectors that announce nothing: the reference's client closes at a larger one.
pub const LARGEST_UNANNOUNCED: usize = 4 << 20;

/// The largest message of the dialect: any webhook fits with its body as base64.
pub const LARGEST_TEXT: usize = 16 << 20;

/// How a body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// As the JSON it is, in `payload`: for connectors that announce nothing.
    Payload,
    /// As `body_base64`: for connectors that announce the version.
    Base64,
}

/// What a receiver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromReceiver {
    /// The connection's name and channel.
    Connected {
        /// Names the connection.
        connection: ByteString,
        /// The channel.
        channel: ByteString,
    },
    /// A webhook for the connector.
    Webhook(Box<Received>),
    /// A sign of life.
    Heartbeat,
    /// What a tap missed.
    Gap(Gap),
    /// Why the stream ends (server-sent events only).
    Error(ByteString),
}

/// A webhook as a connector received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message id as it was written; acknowledgements name it so.
    pub message: ByteString,
    /// The webhook. Its id is the message id when that is one of ours, and is derived from it otherwise.
    pub webhook: Webhook,
}

/// What a tap missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many.
    pub missed: u64,
    /// The first missed sequence.
    pub first: u64,
    /// The last missed sequence.
    pub last: u64,
}

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// The webhooks.
    pub webhooks: Vec<Received>,
    /// Names the connection; acknowledgements carry it.
    pub connection: ByteString,
    /// What a polling tap missed before these webhooks.
    pub gap: Option<Gap>,
}

/// What a connector says. Webhooks are named by their message id, as the receiver wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromConnector {
    /// What became of a webhook: delivered, given back or rejected.
    Settle {
        /// The message id.
        message: ByteString,
        /// What became of it.
        outcome: Outcome,
    },
    /// A webhook is still being worked on.
    Progress {
        /// The message id.
        message: ByteString,
    },
    /// A new window; 0 events: finish, I am leaving.
    Window(Window),
    /// A sign of life.
    Heartbeat,
}

/// A message that is not understood.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotUnderstood {
    /// It is not a JSON object with the fields it needs.
    #[error("not the expected JSON: {0}")]
    Json(String),
    /// Its `type` is unknown.
    #[error("a message of an unknown type")]
    Type,
    /// A field is missing.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field cannot be used.
    #[error("the field `{0}` cannot be used")]
    Field(&'static str),
}

impl From<serde_json::Error> for NotUnderstood {
    /// Keeps the kind of the error and its place; the message itself could hold content.
    fn from(error: serde_json::Error) -> Self {
        Self::Json(format!("{:?} error at byte {}", error.classify(), error.column()))
    }
}

#[cfg(test)]
mod tests;
