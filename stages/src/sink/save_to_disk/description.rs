//! What is written about a webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::moment;
use engine::webhook::Webhook;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

/// A webhook as one JSON document, on one line.
pub(super) struct Description<'a> {
    pub(super) webhook: &'a Webhook,
    /// With its body, in base64.
    pub(super) body: bool,
}

/// The document. Header values that are no UTF-8 are written with replacement characters.
#[derive(Serialize)]
struct Document<'a> {
    id: String,
    webhook: &'a str,
    channel: &'a str,
    sequence: u64,
    attempt: u32,
    received_at: String,
    source_ip: String,
    method: &'a str,
    target: &'a str,
    size: usize,
    headers: Headers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Pairs of name and value, in order, without what is a secret between the sender and the receiver.
struct Headers<'a>(&'a Webhook);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(None)?;
        for (name, value) in self.0.head.headers.iter() {
            if !["authorization", "cookie"].iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                all.serialize_element(&(name, String::from_utf8_lossy(value)))?;
            }
        }
        all.end()
    }
}

impl Description<'_> {
    /// Returns the document with a line end.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn to_json(&self) -> serde_json::Result<Bytes> {
        let (head, transit) = (&self.webhook.head, &self.webhook.transit);
        let mut text = serde_json::to_vec(&Document {
            id: self.webhook.id().to_string(),
            webhook: &head.webhook,
            channel: &transit.channel,
            sequence: transit.sequence,
            attempt: transit.attempt,
            received_at: moment::to_text(head.received),
            source_ip: head.source.to_string(),
            method: &head.method,
            target: &head.target,
            size: self.webhook.body.len(),
            headers: Headers(self.webhook),
            body_base64: self.body.then(|| STANDARD.encode(&self.webhook.body)),
        })?;
        text.push(b'\n');
        Ok(text.into())
    }
}
