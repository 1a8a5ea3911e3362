//! `GET /connect/stream/{channel}/sse` and `POST /connect/ack` for connectors that announce nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::party::http;
use crate::party::receiver::{Receiver, authorization};

const PATH: &str = "/connect/stream/c/sse";

/// A stream of events, of which nothing is known but bytes.
struct Events {
    stream: TcpStream,
    head: String,
    /// What came and is still in chunks.
    chunks: Vec<u8>,
    text: Vec<u8>,
}

impl Events {
    async fn open(receiver: &Receiver) -> Self {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        let lines = [&*authorization(), "Accept: text/event-stream", "Cache-Control: no-cache"];
        stream.write_all(http::request(&format!("GET {PATH}"), &lines).as_bytes()).await.unwrap();
        let (head, chunks) = http::head(&mut stream).await;
        Self { stream, head, chunks, text: Vec::new() }
    }

    /// Waits for the next event: everything up to the empty line. None at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let rest = self.text.split_off(end + 2);
                let event = std::mem::replace(&mut self.text, rest);
                assert!(event.is_ascii(), "{}", String::from_utf8_lossy(&event));
                return Some(String::from_utf8(event).unwrap());
            }
            if let Some((chunk, whole)) = chunk(&self.chunks) {
                if chunk.is_empty() {
                    return None;
                }
                self.text.extend(chunk);
                self.chunks.drain(..whole);
            } else if http::read(&mut self.stream, &mut self.chunks).await == 0 {
                return None;
            }
        }
    }

    /// Waits for the next event of this name and returns its data.
    async fn data(&mut self, name: &str) -> String {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if let Some(data) = event.strip_prefix(&format!("event: {name}\ndata: ")) {
                return data.trim_end_matches('\n').to_owned();
            }
        }
    }
}

/// Returns the first chunk and how long it is with all around it; none when it is not here whole.
fn chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let length = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
    let begin = line + 2;
    Some((bytes.get(begin..begin + length)?, begin + length + 2)).filter(|(_, whole)| bytes.len() >= *whole)
}

fn id_of(data: &str) -> String {
    let json: Value = serde_json::from_str(data).unwrap();
    json["message_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stream_begins_with_its_name_and_a_sign_of_life() {
    let receiver = Receiver::start(json!({})).await;
    let mut events = Events::open(&receiver).await;
    for line in [
        "http/1.1 200 ok",
        "content-type: text/event-stream; charset=utf-8",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "transfer-encoding: chunked",
    ] {
        assert!(events.head.lines().any(|one| one == line), "{line} in {}", events.head);
    }
    let first = events.next().await.unwrap();
    let rest = first.strip_prefix("event: connected\ndata: {\"connection_id\":\"sse_").unwrap();
    assert!(rest.ends_with("\",\"channel\":\"c\"}\n\n"), "{first}");
    let second = events.next().await.unwrap();
    assert!(second.starts_with("event: heartbeat\ndata: {\"timestamp\":\""), "{second}");
}

#[tokio::test]
async fn an_event_is_one_line_of_ascii_whatever_the_body() {
    let receiver = Receiver::start(json!({})).await;
    let mut events = Events::open(&receiver).await;
    let body = "{\n \"имя\":\r\n\"Ёлка 𝄞\"}";
    receiver.accepts("json", body.as_bytes()).await;
    let data = events.data("webhook").await;
    assert!(data.starts_with(r#"{"type":"webhook","message_id":"msg_"#), "{data}");
    assert!(data.contains(r#""\u0438\u043c\u044f":  "\u0401\u043b\u043a\u0430 \ud834\udd1e""#), "{data}");
    let json: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(json["payload"], serde_json::from_str::<Value>(body).unwrap());
}

#[tokio::test]
async fn signs_of_life_come_in_time_under_load() {
    let receiver = Receiver::start(json!({ "heartbeat_seconds": 1 })).await;
    let mut events = Events::open(&receiver).await;
    let (began, mut beats, mut webhooks) = (Instant::now(), Vec::new(), 0);
    while beats.len() < 4 {
        receiver.accepts("json", b"{}").await;
        let event = events.next().await.unwrap();
        if event.starts_with("event: heartbeat\n") {
            beats.push(began.elapsed());
        } else if let Some(data) = event.strip_prefix("event: webhook\ndata: ") {
            webhooks += 1;
            let answer = receiver.acknowledges(&format!("message_id={}&status=ack", id_of(data))).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    let late = beats.windows(2).any(|pair| pair[1] - pair[0] > Duration::from_millis(1_800));
    assert!(!late && webhooks > 10, "{beats:?}, {webhooks} webhooks");
}

#[tokio::test]
async fn a_stream_that_is_refused_is_told_why_in_the_references_words() {
    let receiver = Receiver::start(json!({ "max_connections": 1 })).await;
    let get = format!("GET {PATH}");
    let missing = receiver.asks(&get, &["Accept: text/event-stream"]).await;
    assert_eq!(missing.detail(), (401, "Missing authorization token".to_owned()));
    let wrong = receiver.asks(&get, &["Authorization: Bearer wrong"]).await;
    assert_eq!(wrong.detail(), (401, "Invalid channel token".to_owned()));
    let unknown = receiver.asks("GET /connect/stream/other/sse", &[&authorization()]).await;
    assert_eq!(unknown.detail(), (401, "Invalid channel token".to_owned()));
    let mut first = Events::open(&receiver).await;
    first.data("connected").await;
    let mut second = Events::open(&receiver).await;
    assert!(second.head.starts_with("http/1.1 200 "), "{}", second.head);
    let error = "event: error\ndata: {\"error\":\"max_connections_reached\"}\n\n";
    assert_eq!(second.next().await.as_deref(), Some(error));
    assert_eq!(second.next().await, None);
}

#[tokio::test]
async fn acknowledgements_are_answered_as_the_references_connector_expects() {
    let receiver = Receiver::start(json!({})).await;
    let mut events = Events::open(&receiver).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        receiver.accepts("json", b"{}").await;
        ids.push(id_of(&events.data("webhook").await));
    }
    let wrong = ["Authorization: Bearer wrong", "X-Connection-ID: any"];
    let no_id = receiver.asks("POST /connect/ack?status=ack", &wrong).await;
    assert_eq!(no_id.status, 422, "what is missing goes before who asks");
    let stranger = receiver.asks(&format!("POST /connect/ack?message_id={}", ids[0]), &wrong).await;
    assert_eq!(stranger.detail(), (401, "Invalid token".to_owned()));
    for unknown in ["msg_0000000000000000", "nonsense"] {
        let answer = receiver.acknowledges(&format!("message_id={unknown}")).await;
        assert_eq!(answer.detail(), (404, "Message not in flight".to_owned()));
    }
    let done = receiver.acknowledges(&format!("message_id={}&status=ack", ids[0])).await;
    assert_eq!((done.status, done.json()), (200, json!({ "status": "ok", "message_id": ids[0] })));
    receiver.comes_to("messages_delivered", 1).await;
    // Any other status is a nack, and `retry` is true unless it says otherwise.
    let again = receiver.acknowledges(&format!("message_id={}&status=failed", ids[1])).await;
    assert_eq!(again.status, 200);
    let parked = receiver.acknowledges(&format!("message_id={}&status=nack&retry=False", ids[2])).await;
    assert_eq!(parked.status, 200);
    receiver.parks(&ids[2]).await;
    assert_eq!(id_of(&events.data("webhook").await), ids[1]);
}

#[tokio::test]
async fn many_settlements_come_in_one_request_to_connectors_that_know_our_additions() {
    let receiver = Receiver::start(json!({})).await;
    let mut events = Events::open(&receiver).await;
    assert!(!events.head.contains("webhook-connect-settlements"), "{}", events.head);
    let mut ids = Vec::new();
    for _ in 0..4 {
        receiver.accepts("json", b"{}").await;
        ids.push(id_of(&events.data("webhook").await));
    }
    let own = authorization();
    let body = format!(
        "{{\"type\":\"ack\",\"message_id\":\"{}\"}}\n{{\"type\":\"nack\",\"message_id\":\"{}\",\"retry\":false}}\n\
         {{\"type\":\"progress\",\"message_id\":\"{}\"}}\nnonsense\n{{\"type\":\"window\",\"events\":0}}\n\
         {{\"type\":\"ack\",\"message_id\":\"msg_00000000000000000000000000000000\"}}\n",
        ids[0], ids[1], ids[2]
    );
    let stranger = receiver.settles("Authorization: Bearer wrong", &body).await;
    assert_eq!(stranger.detail(), (401, "Invalid token".to_owned()));
    let told = receiver.settles(&own, &body).await;
    let wanted = json!({ "status": "ok", "settled": 3, "unknown": 1, "not_understood": 2, "again": [] });
    assert_eq!((told.status, told.json()), (200, wanted));
    receiver.comes_to("messages_delivered", 1).await;
    receiver.parks(&ids[1]).await;
    let ack = format!("{{\"type\":\"ack\",\"message_id\":\"{}\"}}\n", ids[3]);
    let too_many = receiver.settles(&own, &ack.repeat(257)).await;
    assert_eq!(too_many.status, 422, "{too_many:?}");
    let too_large = receiver.settles(&own, &"x".repeat((1 << 20) + 1)).await;
    assert_eq!(too_large.status, 413, "{too_large:?}");
}

#[tokio::test]
async fn a_heartbeat_by_http_is_known_by_its_connection() {
    let receiver = Receiver::start(json!({})).await;
    let mut events = Events::open(&receiver).await;
    let connected: Value = serde_json::from_str(&events.data("connected").await).unwrap();
    let name = format!("X-Connection-ID: {}", connected["connection_id"].as_str().unwrap());
    let own = authorization();
    for (lines, status) in [
        (vec![&*own], 422),
        (vec!["Authorization: Bearer wrong", &*name], 401),
        (vec![&*own, "X-Connection-ID: sse_other"], 404),
        (vec![&*own, &*name], 200),
    ] {
        assert_eq!(receiver.asks("POST /connect/heartbeat", &lines).await.status, status, "{lines:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_parked_for_an_old_connector_and_sent_to_one_that_announces() {
    let receiver = Receiver::start(json!({ "ack_timeout_seconds": 1 })).await;
    let mut events = Events::open(&receiver).await;
    events.data("connected").await;
    let parked = receiver.accepts("blob", b"\xff").await;
    assert!(receiver.parks(&parked).await.contains("its body is not JSON"));
    // There is no limit to an event: 10 MiB pass.
    let large = format!("\"{}\"", "x".repeat((10 << 20) - 2));
    let large = receiver.accepts("json", large.as_bytes()).await;
    assert_eq!(id_of(&events.data("webhook").await), large);
}
