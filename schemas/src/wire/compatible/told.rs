//! What a connector says, both ways.

use std::time::{Duration, SystemTime};

use bytestring::ByteString;
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::Window;
use engine::moment;
use engine::query;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FromConnector, NotUnderstood};

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
        for (name, value) in query::pairs(query) {
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
            query::add(&mut query, name, &value);
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
