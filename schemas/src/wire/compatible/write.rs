//! What a receiver says, as it is written.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::moment;
use engine::webhook::Webhook;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{BodyForm, Gap};

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
