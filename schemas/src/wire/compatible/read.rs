//! What a receiver says, as it is read.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use engine::headers::Headers;
use engine::moment;
use engine::webhook::{Head, Id, Transit, Webhook, from_micros, to_micros};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FromReceiver, Gap, NotUnderstood, Polled, Received};

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
        let received = self.timestamp.as_deref().and_then(moment::from_text);
        // Whole microseconds, as what is written.
        let received = received.unwrap_or_else(|| from_micros(to_micros(engine::clock::now())));
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
