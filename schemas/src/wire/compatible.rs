//! The compatible dialect: the JSON of the reference, with fields of our own that old ends ignore.
//!
//! What receivers say is in [`FromReceiver`], what connectors say in [`FromConnector`]; either end encodes its own and
//! decodes the other's. One JSON object is one WebSocket text message, the data of one server-sent event, or an item of a
//! poll's answer.
//!
//! Decoding takes what the reference sends: unknown fields mean nothing, and what is missing has the reference's default.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use engine::ack::{Cause, Outcome, Reason};
use engine::headers::Headers;
use engine::ledger::Window;
use engine::webhook::{Head, Id, Transit, Webhook};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::moment;

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

/// Returns an upper bound for how long the `webhook` object of `webhook` is.
#[must_use]
pub fn longest(webhook: &Webhook, form: BodyForm) -> usize {
    let body = match form {
        BodyForm::Payload => webhook.body.len(),
        BodyForm::Base64 => webhook.body.len().div_ceil(3) * 4,
    };
    // Headers are written twice, and any byte of them takes at most two.
    let headers = webhook.head.headers.iter().map(|(name, value)| 4 * (name.len() + value.len()) + 32);
    body + headers.sum::<usize>() + 2 * webhook.head.target.len() + 2 * webhook.head.webhook.len() + 1_024
}

/// Returns true when a body can travel as a `payload`.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    payload(body).is_some()
}

/// Returns `body` as JSON that can be spliced in; none when it is not JSON.
fn payload(body: &[u8]) -> Option<&RawValue> {
    // The parser skips the inside of strings, so text that is not UTF-8 has to be seen first.
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}

/// Writes the first message of a connection.
#[must_use]
pub fn connected(connection: &str, channel: &str, now: SystemTime) -> String {
    let now = moment::to_text(now);
    json!({ "type": "connected", "connection_id": connection, "channel": channel, "timestamp": now })
        .to_string()
}

/// Writes the data of the first server-sent event.
#[must_use]
pub fn connected_data(connection: &str, channel: &str) -> String {
    json!({ "connection_id": connection, "channel": channel }).to_string()
}

/// Writes a sign of life of the receiver.
#[must_use]
pub fn heartbeat(now: SystemTime) -> String {
    let now = moment::to_text(now);
    json!({ "type": "heartbeat", "timestamp": now, "server_time": now }).to_string()
}

/// Writes the data of a heartbeat event.
#[must_use]
pub fn heartbeat_data(now: SystemTime) -> String {
    json!({ "timestamp": moment::to_text(now) }).to_string()
}

/// Writes what a tap missed.
#[must_use]
pub fn gap(gap: Gap) -> String {
    json!({ "type": "gap", "missed": gap.missed, "first": gap.first, "last": gap.last }).to_string()
}

/// Writes a webhook. A body that is not JSON travels as base64 whatever the form.
#[must_use]
pub fn webhook(webhook: &Webhook, form: BodyForm) -> String {
    let head = &*webhook.head;
    let payload = if form == BodyForm::Payload { payload(&webhook.body) } else { None };
    let (path, query) = match head.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*head.target, None),
    };
    let mut headers = Map::new();
    for (name, value) in head.headers.iter() {
        headers.insert(name.to_owned(), value.iter().copied().map(char::from).collect::<String>().into());
    }
    let message = Sent {
        kind: "webhook",
        message_id: head.id.to_string(),
        sequence: webhook.transit.sequence,
        webhook_id: &head.webhook,
        timestamp: moment::to_text(head.received),
        headers,
        payload,
        body_base64: payload.is_none().then(|| STANDARD.encode(&webhook.body)),
        method: &head.method,
        path,
        query,
        header_list: head.headers.iter().map(|(name, value)| (name, HeaderText::of(value))).collect(),
        attempt: webhook.transit.attempt,
        source_ip: head.source.to_string(),
        channel: &webhook.transit.channel,
        expires_at: webhook.transit.expires.map(moment::to_text),
    };
    serde_json::to_string(&message).expect("texts, numbers and maps with text keys become JSON")
}

/// Writes the answer to a poll from webhooks that [`webhook`] wrote.
#[must_use]
pub fn polled(
    connection: &str,
    channel: &str,
    now: SystemTime,
    webhooks: &[String],
    gap: Option<Gap>,
) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let gap = gap.map(|gap| format!(",\"gap\":{}", json!(gap))).unwrap_or_default();
    format!(
        "{{\"messages\":[{}],\"connection_id\":{},\"channel\":{},\"timestamp\":{}{gap}}}",
        webhooks.join(","),
        text(connection),
        text(channel),
        text(&moment::to_text(now)),
    )
}

/// The `webhook` object as it is written: the reference's fields first, in its order.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message_id: String,
    sequence: u64,
    webhook_id: &'a str,
    timestamp: String,
    headers: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    header_list: Vec<(&'a str, HeaderText<'a>)>,
    attempt: u32,
    source_ip: String,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A header's value: text when it is ASCII.
#[derive(Serialize)]
#[serde(untagged)]
enum HeaderText<'a> {
    Ascii(&'a str),
    Other { base64: String },
}

impl<'a> HeaderText<'a> {
    fn of(value: &'a [u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) if text.is_ascii() => Self::Ascii(text),
            Ok(_) | Err(_) => Self::Other { base64: STANDARD.encode(value) },
        }
    }
}

/// Any message of a receiver as it is read.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    connection_id: Option<String>,
    channel: Option<String>,
    message_id: Option<String>,
    #[serde(default)]
    sequence: u64,
    webhook_id: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    body_base64: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    header_list: Option<Vec<(String, Value)>>,
    attempt: Option<u32>,
    source_ip: Option<IpAddr>,
    expires_at: Option<String>,
    missed: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    error: Option<String>,
}

/// Reads a value that may be `null`, which is a body like any other.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl FromReceiver {
    /// Reads a WebSocket text message.
    ///
    /// # Errors
    /// It is not understood, which ends nothing.
    pub fn decode(text: &str) -> Result<Self, NotUnderstood> {
        let read: Read<'_> = serde_json::from_str(text)?;
        let kind = read.kind.clone().ok_or(NotUnderstood::Missing("type"))?;
        Self::of(&kind, read)
    }

    /// Reads a server-sent event by its name.
    ///
    /// # Errors
    /// It is not understood, which ends nothing.
    pub fn decode_event(name: &str, data: &str) -> Result<Self, NotUnderstood> {
        Self::of(name, serde_json::from_str(data)?)
    }

    fn of(kind: &str, read: Read<'_>) -> Result<Self, NotUnderstood> {
        match kind {
            "connected" => Ok(Self::Connected {
                connection: read.connection_id.ok_or(NotUnderstood::Missing("connection_id"))?.into(),
                channel: read.channel.unwrap_or_default().into(),
            }),
            "webhook" => read.received().map(|received| Self::Webhook(Box::new(received))),
            "heartbeat" => Ok(Self::Heartbeat),
            "gap" => Ok(Self::Gap(Gap {
                missed: read.missed.ok_or(NotUnderstood::Missing("missed"))?,
                first: read.first.unwrap_or_default(),
                last: read.last.unwrap_or_default(),
            })),
            "error" => Ok(Self::Error(read.error.unwrap_or_default().into())),
            _ => Err(NotUnderstood::Type),
        }
    }
}

impl Polled {
    /// Reads the answer to a poll. Webhooks that are not understood are left out; their number is given.
    ///
    /// # Errors
    /// The answer as a whole is not understood.
    pub fn decode(text: &str) -> Result<(Self, usize), NotUnderstood> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            messages: Vec<&'a RawValue>,
            #[serde(default)]
            connection_id: String,
            gap: Option<Gap>,
        }
        let Answer { messages, connection_id, gap } = serde_json::from_str(text)?;
        let all = messages.len();
        let read = messages.into_iter().filter_map(|message| {
            serde_json::from_str::<Read<'_>>(message.get()).ok().and_then(|read| read.received().ok())
        });
        let webhooks: Vec<Received> = read.collect();
        let left_out = all - webhooks.len();
        Ok((Self { webhooks, connection: connection_id.into(), gap }, left_out))
    }
}

impl Read<'_> {
    fn received(self) -> Result<Received, NotUnderstood> {
        let message: ByteString = self.message_id.ok_or(NotUnderstood::Missing("message_id"))?.into();
        let webhook: ByteString = self.webhook_id.ok_or(NotUnderstood::Missing("webhook_id"))?.into();
        let body = match (self.body_base64, self.payload) {
            (Some(text), _) => {
                Bytes::from(STANDARD.decode(text).map_err(|_| NotUnderstood::Field("body_base64"))?)
            }
            (None, Some(payload)) => Bytes::copy_from_slice(payload.get().as_bytes()),
            (None, None) => return Err(NotUnderstood::Missing("payload")),
        };
        let headers = match self.header_list {
            Some(list) => {
                let values = list.iter().map(|(name, value)| Some((name, header_value(value)?)));
                values
                    .collect::<Option<Vec<_>>>()
                    .ok_or(NotUnderstood::Field("header_list"))?
                    .into_iter()
                    .collect()
            }
            None => self
                .headers
                .iter()
                .filter_map(|(name, value)| Some((name, latin(value.as_str()?))))
                .collect::<Headers>(),
        };
        let path = self.path.unwrap_or_else(|| format!("/webhook/{webhook}"));
        let target = self.query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        let received = self.timestamp.as_deref().and_then(moment::from_text).unwrap_or_else(SystemTime::now);
        let head = Head {
            id: id_of(&message),
            webhook,
            received,
            source: self.source_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            method: self.method.map_or(ByteString::from_static("POST"), ByteString::from),
            target: target.into(),
            headers,
        };
        let transit = Transit {
            channel: self.channel.unwrap_or_default().into(),
            sequence: self.sequence,
            attempt: self.attempt.unwrap_or(1),
            expires: self.expires_at.as_deref().and_then(moment::from_text),
        };
        let mut webhook = Webhook::new(head, body);
        webhook.transit = transit;
        Ok(Received { message, webhook })
    }
}

fn header_value(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        other => STANDARD.decode(other.get("base64")?.as_str()?).ok(),
    }
}

/// Returns the bytes of a header value that the reference read as ISO 8859-1.
fn latin(text: &str) -> Vec<u8> {
    let bytes: Result<Vec<u8>, _> =
        text.chars().map(|character| u8::try_from(u32::from(character))).collect();
    bytes.unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// Returns the id that a webhook has for life: the message id itself when it is one of ours, else its 128-bit FNV-1a hash,
/// which is the same on every redelivery.
fn id_of(message: &str) -> Id {
    message.parse().unwrap_or_else(|_| {
        let hash = message.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        Id(hash.to_be_bytes())
    })
}

/// Any message of a connector, as JSON or as the query of `POST /connect/ack`.
#[derive(Default, Deserialize)]
struct Told {
    #[serde(rename = "type")]
    kind: Option<String>,
    message_id: Option<String>,
    retry: Option<bool>,
    delay_ms: Option<u64>,
    cause: Option<String>,
    reason: Option<String>,
    events: Option<u64>,
    bytes: Option<u64>,
}

impl FromConnector {
    /// Reads a WebSocket text message.
    ///
    /// # Errors
    /// It is not understood, which ends nothing.
    pub fn decode(text: &str) -> Result<Self, NotUnderstood> {
        let told: Told = serde_json::from_str(text)?;
        told.meaning()
    }

    /// Reads the query of `POST /connect/ack`. Any other status than `ack` and `progress` is `nack`, as it is with the
    /// reference.
    ///
    /// # Errors
    /// `message_id` is missing, or a value cannot be used.
    pub fn from_query(query: &str) -> Result<Self, NotUnderstood> {
        let mut told = Told { kind: Some("ack".to_owned()), ..Told::default() };
        for (name, value) in super::query::pairs(query) {
            match name.as_str() {
                "message_id" => told.message_id = Some(value),
                "status" if value == "ack" || value == "progress" => told.kind = Some(value),
                "status" => told.kind = Some("nack".to_owned()),
                "retry" => match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" | "on" | "t" | "y" => told.retry = Some(true),
                    "false" | "0" | "no" | "off" | "f" | "n" => told.retry = Some(false),
                    _ => return Err(NotUnderstood::Field("retry")),
                },
                "delay_ms" => {
                    told.delay_ms = Some(value.parse().map_err(|_| NotUnderstood::Field("delay_ms"))?);
                }
                "cause" => told.cause = Some(value),
                "reason" => told.reason = Some(value),
                _ => {}
            }
        }
        told.meaning()
    }

    /// Writes a WebSocket text message.
    #[must_use]
    pub fn encode(&self, now: SystemTime) -> String {
        let mut object = Map::new();
        for (name, value) in self.fields(now) {
            object.insert(name.to_owned(), value);
        }
        Value::Object(object).to_string()
    }

    /// Writes the query of `POST /connect/ack`; none for what is not said there.
    #[must_use]
    pub fn to_query(&self) -> Option<String> {
        if matches!(self, Self::Window(_) | Self::Heartbeat) {
            return None;
        }
        let mut query = String::new();
        for (name, value) in self.fields(SystemTime::UNIX_EPOCH) {
            let name = if name == "type" { "status" } else { name };
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            super::query::add(&mut query, name, &value);
        }
        Some(query)
    }

    fn fields(&self, now: SystemTime) -> Vec<(&'static str, Value)> {
        match self {
            Self::Settle { message, outcome: Outcome::Delivered } => {
                vec![("type", json!("ack")), ("message_id", json!(**message))]
            }
            Self::Settle { message, outcome: Outcome::Failed { reason } } => vec![
                ("type", json!("nack")),
                ("message_id", json!(**message)),
                ("retry", json!(false)),
                ("reason", json!(reason.as_str())),
            ],
            Self::Settle { message, outcome: Outcome::Abandoned { delay, cause, reason } } => {
                let mut fields =
                    vec![("type", json!("nack")), ("message_id", json!(**message)), ("retry", json!(true))];
                if let Some(delay) = delay {
                    let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    fields.push(("delay_ms", json!(ms)));
                }
                match cause {
                    Cause::Unreachable | Cause::Failed => fields.push(("cause", json!(cause.as_str()))),
                    // Without a cause it reads as unreachable, and without a delay the receiver waits: a lost one may
                    // go again at once.
                    Cause::Lost if delay.is_none() => fields.push(("delay_ms", json!(0))),
                    Cause::Lost => {}
                }
                if let Some(reason) = reason {
                    fields.push(("reason", json!(reason.as_str())));
                }
                fields
            }
            // Never behind a buffer; it goes back.
            Self::Settle { message, outcome: Outcome::Refused { .. } } => {
                vec![("type", json!("nack")), ("message_id", json!(**message)), ("retry", json!(true))]
            }
            Self::Progress { message } => vec![("type", json!("progress")), ("message_id", json!(**message))],
            Self::Window(Window { events, bytes }) => {
                vec![("type", json!("window")), ("events", json!(events)), ("bytes", json!(bytes))]
            }
            Self::Heartbeat => {
                vec![("type", json!("heartbeat")), ("timestamp", json!(moment::to_text(now)))]
            }
        }
    }
}

impl Told {
    fn meaning(self) -> Result<FromConnector, NotUnderstood> {
        match self.kind.as_deref() {
            Some("ack") => {
                Ok(FromConnector::Settle { message: self.message()?, outcome: Outcome::Delivered })
            }
            Some("nack") => {
                let (message, outcome) = (self.message()?, self.given_back()?);
                Ok(FromConnector::Settle { message, outcome })
            }
            Some("progress") => Ok(FromConnector::Progress { message: self.message()? }),
            Some("window") => {
                let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                let events = size(self.events.ok_or(NotUnderstood::Missing("events"))?);
                Ok(FromConnector::Window(Window { events, bytes: self.bytes.map_or(usize::MAX, size) }))
            }
            Some("heartbeat") => Ok(FromConnector::Heartbeat),
            Some(_) => Err(NotUnderstood::Type),
            None => Err(NotUnderstood::Missing("type")),
        }
    }

    fn message(&self) -> Result<ByteString, NotUnderstood> {
        self.message_id.clone().map(ByteString::from).ok_or(NotUnderstood::Missing("message_id"))
    }

    fn given_back(&self) -> Result<Outcome, NotUnderstood> {
        let reason = self.reason.as_deref().filter(|reason| !reason.is_empty()).map(Reason::new);
        if self.retry == Some(false) {
            let reason = reason.unwrap_or_else(|| Reason::new("the connector gave no reason"));
            return Ok(Outcome::Failed { reason });
        }
        let cause = match self.cause.as_deref() {
            None | Some("unreachable") => Cause::Unreachable,
            Some("failed") => Cause::Failed,
            Some(_) => return Err(NotUnderstood::Field("cause")),
        };
        Ok(Outcome::Abandoned { delay: self.delay_ms.map(Duration::from_millis), cause, reason })
    }
}

#[cfg(test)]
mod tests;
