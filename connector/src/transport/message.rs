//! The messages of the compatible dialect, as a connector reads and writes them: one JSON object each.
//!
//! A body is never parsed: it is the text of `payload` as it stands in the message, or `body_base64`. Message ids of the
//! reference are shorter than ours; they are kept in the lower half of an id.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use engine::ack::Cause;
use engine::headers::Headers;
use engine::webhook::{Head, Id, Webhook, from_micros, to_micros};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::compatible::{Heard, Told};

const DAY: i64 = 86_400;

/// What kind of message it is.
#[derive(Deserialize)]
struct Kind {
    #[serde(default, rename = "type")]
    name: String,
}

#[derive(Deserialize)]
struct Connected {
    #[serde(default)]
    connection_id: String,
}

#[derive(Deserialize)]
struct Gap {
    missed: u64,
    first: u64,
    last: u64,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Poll {
    connection_id: Option<String>,
    messages: Vec<Box<RawValue>>,
}

/// A webhook as it is written.
#[derive(Deserialize)]
struct Written {
    message_id: String,
    #[serde(default)]
    webhook_id: String,
    #[serde(default)]
    sequence: u64,
    timestamp: Option<String>,
    expires_at: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    header_list: Option<Vec<(String, Value)>>,
    payload: Option<Box<RawValue>>,
    body_base64: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    attempt: Option<u32>,
    source_ip: Option<IpAddr>,
}

/// Reads a WebSocket message.
///
/// # Errors
/// Why it is not understood.
pub(super) fn read(text: &str) -> Result<Heard, String> {
    let Kind { name } = parse(text)?;
    heard(&name, text)?.ok_or_else(|| format!("a message of the type `{name}`"))
}

/// Reads an event of a stream; none when it means nothing.
///
/// # Errors
/// Why it is not understood.
pub(super) fn read_event(name: &str, data: &str) -> Result<Option<Heard>, String> {
    if name == "error" {
        let Refusal { error } = parse(data)?;
        return Ok(Some(Heard::Refused(error)));
    }
    heard(name, data)
}

type Webhooks = Vec<Result<Heard, String>>;

/// Reads the answer to a poll: the connection's id and the webhooks.
///
/// # Errors
/// Why it is not understood.
pub(super) fn read_poll(body: &[u8]) -> Result<(Option<ByteString>, Webhooks), String> {
    let Poll { connection_id, messages } =
        parse(std::str::from_utf8(body).map_err(|error| error.to_string())?)?;
    Ok((connection_id.map(ByteString::from), messages.iter().map(|one| webhook(one.get())).collect()))
}

fn heard(name: &str, text: &str) -> Result<Option<Heard>, String> {
    Ok(Some(match name {
        "connected" => {
            let Connected { connection_id } = parse(text)?;
            Heard::Connected { session: connection_id.into() }
        }
        "webhook" => webhook(text)?,
        "heartbeat" => Heard::Heartbeat,
        "gap" => {
            let Gap { missed, first, last } = parse(text)?;
            Heard::Gap { missed, first, last }
        }
        _ => return Ok(None),
    }))
}

/// Returns the message that says it.
pub(super) fn write(told: &Told) -> String {
    let mut message = match told {
        Told::Ack(id) => json!({ "type": "ack", "message_id": &**id }),
        Told::Progress(id) => json!({ "type": "progress", "message_id": &**id }),
        Told::Nack(id, nack) => {
            let mut message = json!({ "type": "nack", "message_id": &**id, "retry": nack.retry });
            if nack.retry {
                message["cause"] = json!(cause(nack.cause));
            }
            if let Some(delay) = nack.delay {
                message["delay_ms"] = json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            }
            if let Some(reason) = &nack.reason {
                message["reason"] = json!(reason.as_str());
            }
            message
        }
        Told::Window(window) => json!({ "type": "window", "events": window.events, "bytes": window.bytes }),
        Told::Heartbeat => json!({ "type": "heartbeat" }),
    };
    if *told == Told::Heartbeat {
        let now = to_micros(SystemTime::now()) / 1_000_000;
        message["timestamp"] = json!(written(i64::try_from(now).unwrap_or_default()));
    }
    message.to_string()
}

/// Returns the word for why a webhook is given back.
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "unreachable",
        Cause::Failed | Cause::Lost => "failed",
    }
}

/// Returns the text that a receiver knows `id` by.
pub(super) fn id_text(id: Id) -> ByteString {
    let text = id.to_string();
    match text.strip_prefix("msg_0000000000000000") {
        Some(short) => format!("msg_{short}").into(),
        None => text.into(),
    }
}

/// Returns the id that `text` stands for: the same one every time.
fn id(text: &str) -> Id {
    if let Ok(id) = text.parse() {
        return id;
    }
    let short = text.strip_prefix("msg_").filter(|hex| hex.len() == 16);
    if let Some(Ok(id)) = short.map(|hex| format!("msg_0000000000000000{hex}").parse()) {
        return id;
    }
    // Some other product's; it can be settled on the connection that brought it.
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        hasher.finish()
    };
    Id(((u128::from(half(1)) << 64) | u128::from(half(2))).to_be_bytes())
}

fn webhook(text: &str) -> Result<Heard, String> {
    let written: Written = parse(text)?;
    let body = match (written.body_base64, written.payload) {
        (Some(base64), _) => Bytes::from(
            STANDARD.decode(base64).map_err(|error| format!("a body that is no base64: {error}"))?,
        ),
        (None, Some(payload)) => Bytes::from(Box::<str>::from(payload).into_string()),
        (None, None) => Bytes::new(),
    };
    let headers = match &written.header_list {
        Some(list) => list
            .iter()
            .map(|(name, value)| Ok((name.as_str(), header_value(value)?)))
            .collect::<Result<Vec<_>, String>>()?,
        None => written.headers.iter().map(|(name, value)| (name.as_str(), text_of(value))).collect(),
    };
    if headers.iter().any(|(name, _)| !name.is_ascii() || name.len() > usize::from(u16::MAX)) {
        return Err("a header whose name is none".to_owned());
    }
    let path = written.path.unwrap_or_else(|| format!("/webhook/{}", written.webhook_id));
    let target = match written.query.filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let head = Head {
        id: id(&written.message_id),
        webhook: written.webhook_id.into(),
        received: written.timestamp.as_deref().and_then(time).unwrap_or_else(SystemTime::now),
        source: written.source_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        method: written.method.map_or_else(|| ByteString::from_static("POST"), ByteString::from),
        target: target.into(),
        headers: headers.iter().map(|(name, value)| (*name, value.as_slice())).collect::<Headers>(),
    };
    let mut webhook = Webhook::new(head, body);
    webhook.transit.sequence = written.sequence;
    webhook.transit.attempt = written.attempt.unwrap_or(1);
    webhook.transit.expires = written.expires_at.as_deref().and_then(time);
    Ok(Heard::Webhook(Box::new(webhook), written.message_id.into()))
}

/// Reads a value of `header_list`: a text, or bytes as base64.
fn header_value(value: &Value) -> Result<Vec<u8>, String> {
    match value.get("base64").and_then(Value::as_str) {
        Some(base64) => {
            STANDARD.decode(base64).map_err(|error| format!("a header that is no base64: {error}"))
        }
        None => Ok(text_of(value)),
    }
}

fn text_of(value: &Value) -> Vec<u8> {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into_bytes()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // The place is told and not the text, which holds what a sender sent.
    serde_json::from_str(text).map_err(|error| {
        let kind = error.classify();
        format!(
            "JSON that is not as expected ({kind:?} error at line {}, column {})",
            error.line(),
            error.column()
        )
    })
}

/// Reads a time such as `2026-11-23T12:32:12.538246+00:00`.
fn time(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once('T')?;
    let (clock, shift) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let minutes = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        Some(hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
    };
    let (to_minutes, seconds) = clock.rsplit_once(':')?;
    let east = match shift.split_at_checked(1)? {
        ("+", shift) => minutes(shift)?,
        ("-", shift) => -minutes(shift)?,
        _ => 0,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let seconds =
        days(year, month, day) * DAY + (minutes(to_minutes)? - east) * 60 + seconds.parse::<i64>().ok()?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = Duration::from_micros(digits.parse().ok()?);
    Some(from_micros(u64::try_from(seconds).ok()?.checked_mul(1_000_000)?) + micros)
}

/// Returns the number of days from 1970-01-01. Years are counted from March, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Writes a time that is `seconds` after 1970.
fn written(seconds: i64) -> String {
    let days_since = seconds.div_euclid(DAY) + 719_468;
    let (era, of_era) = (days_since.div_euclid(146_097), days_since.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let (year, day) =
        (era * 400 + year_of_era + i64::from(month <= 2), of_year - (153 * from_march + 2) / 5 + 1);
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

#[cfg(test)]
mod tests {
    use super::super::compatible::Nack;
    use super::*;
    use engine::ack::Reason;

    fn taken(text: &str) -> (Webhook, ByteString) {
        match read(text) {
            Ok(Heard::Webhook(webhook, id)) => (*webhook, id),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_webhook_of_the_reference_keeps_its_payload_byte_for_byte() {
        let (webhook, text) = taken(
            "{\"type\":\"webhook\",\"message_id\":\"msg_4868226cb5fc4f49\",\"sequence\":1,\"webhook_id\":\"w1\",\
             \"timestamp\":\"2026-11-23T12:31:35.745756+00:00\",\"headers\":{\"content-type\":\"application/json\"},\
             \"payload\":{\"b\": 1.0,\"a\":12345678901234567890}}",
        );
        assert_eq!(&webhook.body[..], br#"{"b": 1.0,"a":12345678901234567890}"#);
        assert_eq!((&*text, id_text(webhook.id())), ("msg_4868226cb5fc4f49", text.clone()));
        let head = &webhook.head;
        assert_eq!((&*head.webhook, &*head.method, &*head.target), ("w1", "POST", "/webhook/w1"));
        assert_eq!(to_micros(head.received), 1_795_437_095_745_756);
        assert_eq!(head.headers.iter().collect::<Vec<_>>(), [("content-type", &b"application/json"[..])]);
        assert_eq!((webhook.transit.sequence, webhook.transit.attempt), (1, 1));
    }

    #[test]
    fn our_additions_carry_the_request_as_it_was() {
        let id = Id::new();
        let (webhook, text) = taken(
            &json!({
                "type": "webhook", "message_id": id.to_string(), "sequence": 7, "webhook_id": "w",
                "timestamp": "2026-11-23T12:31:35Z", "expires_at": "2026-11-24T13:31:35+01:00",
                "headers": {"x-a": "2"}, "header_list": [["X-A", "1"], ["X-A", "2"], ["X-B", {"base64": "/w=="}]],
                "body_base64": "AP8=", "method": "PUT", "path": "/webhook/w", "query": "a=%20", "attempt": 3,
                "source_ip": "192.0.2.7", "channel": "c", "new": [1],
            })
            .to_string(),
        );
        assert_eq!((webhook.id(), &*text), (id, &*id.to_string()));
        assert_eq!(&webhook.body[..], [0, 255]);
        assert_eq!((&*webhook.head.method, &*webhook.head.target), ("PUT", "/webhook/w?a=%20"));
        let headers: Vec<_> = webhook.head.headers.iter().collect();
        assert_eq!(headers, [("X-A", &b"1"[..]), ("X-A", b"2"), ("X-B", b"\xff")]);
        assert_eq!(webhook.head.source, IpAddr::from([192, 0, 2, 7]));
        let lives = webhook.transit.expires.unwrap().duration_since(webhook.head.received).unwrap();
        assert_eq!((webhook.transit.attempt, lives), (3, Duration::from_secs(86_400)));
    }

    #[test]
    fn what_is_not_understood_is_told_without_its_content() {
        for text in
            ["", "[]", "{\"type\":\"webhook\",\"payload\":\"s3cret\"}", "{\"type\":\"webhook\",\"s3cret"]
        {
            let error = read(text).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(read("{\"type\":\"later\"}").is_err());
        assert_eq!(read_event("message", "{}"), Ok(None));
    }

    #[test]
    fn an_id_of_any_form_stands_for_the_same_id_every_time() {
        for text in ["msg_00ff00ff00ff00ff", "order-1"] {
            assert_eq!(id(text), id(text));
        }
        assert_ne!(id("order-1"), id("order-2"));
        assert_eq!(id_text(id("msg_00ff00ff00ff00ff")), "msg_00ff00ff00ff00ff");
    }

    #[test]
    fn messages_say_what_the_protocol_has_for_them() {
        let nack = Nack {
            retry: true,
            delay: Some(Duration::from_secs(2)),
            cause: Cause::Unreachable,
            reason: Some(Reason::new("down")),
        };
        let told = [
            Told::Ack("m".into()),
            Told::Nack("m".into(), nack.clone()),
            Told::Nack("m".into(), Nack { retry: false, delay: None, ..nack }),
            Told::Progress("m".into()),
        ];
        let wanted = [
            json!({"type": "ack", "message_id": "m"}),
            json!({"type": "nack", "message_id": "m", "retry": true, "cause": "unreachable", "delay_ms": 2000, "reason": "down"}),
            json!({"type": "nack", "message_id": "m", "retry": false, "reason": "down"}),
            json!({"type": "progress", "message_id": "m"}),
        ];
        let told = told.map(|told| serde_json::from_str::<Value>(&write(&told)).unwrap());
        assert_eq!(told, wanted);
        assert_eq!(written(1_795_437_095), "2026-11-23T12:31:35+00:00");
    }

    #[test]
    fn a_text_that_is_no_time_is_none() {
        for text in
            ["", "T", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01Tx:00:00Z", "2026-01-01T00:00:00.é"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
