//! `GET /connect/stream/{channel}` for connectors that announce nothing.

use std::time::{Duration, Instant};

use cloud::Settings;
use serde_json::{Value, json};

use crate::party::receiver::{Receiver, TOKEN, authorization};
use crate::party::websocket::Socket;

const PATH: &str = "/connect/stream/c";

/// What the client of the reference can take at most.
const FRAME: usize = 4 << 20;

async fn connected(receiver: &Receiver) -> Socket {
    let mut socket = Socket::open(receiver, PATH, &[&authorization()]).await;
    assert!(socket.news().await.starts_with(r#"{"type":"connected","#));
    socket
}

fn id_of(text: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap();
    json["message_id"].as_str().unwrap().to_owned()
}

/// Replaces what differs from run to run: times and ids.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for part in text.split('"') {
        let is_time = part.len() == 32 && part.ends_with("+00:00") && part.as_bytes()[10] == b'T';
        let is_id = ["msg_", "wsc_"].iter().any(|prefix| part.starts_with(prefix));
        masked.push_str(if is_time { "TIME" } else { part.get(..4).filter(|_| is_id).unwrap_or(part) });
        masked.push('"');
    }
    masked.pop();
    masked
}

#[tokio::test]
async fn an_old_connector_is_greeted_and_gets_a_sign_of_life_at_once() {
    let receiver = Receiver::start(json!({})).await;
    let mut socket = Socket::open(&receiver, PATH, &[&authorization(), "X-Connector-ID: dc-1"]).await;
    assert!(!socket.head.contains("sec-websocket-protocol"), "nothing was offered: {}", socket.head);
    assert!(!socket.head.contains("sec-websocket-extensions"), "nothing was offered: {}", socket.head);
    let connected = r#"{"type":"connected","connection_id":"wsc_","channel":"c","timestamp":"TIME"}"#;
    assert_eq!(masked(&socket.text().await), connected);
    let heartbeat = r#"{"type":"heartbeat","timestamp":"TIME","server_time":"TIME"}"#;
    assert_eq!(masked(&socket.text().await), heartbeat);
}

#[tokio::test]
async fn a_webhook_has_the_references_fields_first_and_its_body_as_it_was() {
    let receiver = Receiver::start(json!({})).await;
    let mut socket = connected(&receiver).await;
    let body = "{ \"ключ\" : 12345678901234567890, \"a\":1.0,\"a\":[]}";
    receiver.accepts("json", body.as_bytes()).await;
    let text = socket.news().await;
    let begins = format!(
        r#"{{"type":"webhook","message_id":"msg_","sequence":1,"webhook_id":"json","timestamp":"TIME","headers":{{"host":"h","x-event":"one","content-length":"{}"}},"payload":{body},"#,
        body.len()
    );
    let masked = masked(&text);
    assert!(masked.starts_with(&begins), "{masked}\n{begins}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let added = ["method", "path", "query", "attempt", "source_ip", "channel"].map(|key| json[key].clone());
    assert_eq!(json!(added), json!(["POST", "/webhook/json", "from=test", 1, "127.0.0.1", "c"]));
}

#[tokio::test]
async fn acks_and_nacks_settle_and_what_is_not_understood_ends_nothing() {
    let receiver = Receiver::start(json!({})).await;
    let mut socket = connected(&receiver).await;
    for body in [&b"1"[..], b"2", b"3"] {
        receiver.accepts("json", body).await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id_of(&socket.news().await));
    }
    for nonsense in [
        "no json",
        "[]",
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","message_id":"msg_0"}"#,
        r#"{"type":"later"}"#,
    ] {
        socket.says(nonsense).await;
    }
    socket.says(&json!({ "type": "ack", "message_id": ids[0], "processed_at": "now" }).to_string()).await;
    receiver.comes_to("messages_delivered", 1).await;
    socket.says(&json!({ "type": "nack", "message_id": ids[1], "retry": false }).to_string()).await;
    assert!(receiver.parks(&ids[1]).await.contains("the connector gave no reason"));
    // Without `retry` it is true, and without a delay the receiver waits by itself.
    socket.says(&json!({ "type": "nack", "message_id": ids[2] }).to_string()).await;
    receiver.comes_to("messages_in_flight", 0).await;
    let again = socket.news().await;
    assert_eq!((id_of(&again), again.contains(r#""attempt":2"#)), (ids[2].clone(), true), "{again}");
}

#[tokio::test]
async fn tokens_are_taken_as_the_reference_takes_them_and_in_the_query_where_allowed() {
    let receiver = Receiver::start(json!({})).await;
    let bearer = authorization();
    let bare = format!("Authorization: {TOKEN}");
    let query = format!("{PATH}?token={TOKEN}");
    for (path, line, status) in [
        (PATH, &*bearer, 101),
        (PATH, &*bare, 101),
        (PATH, "Authorization: Bearer wrong", 401),
        (PATH, "Accept: */*", 401),
        ("/connect/stream/unknown", &*bearer, 401),
        (&*query, "Accept: */*", 401),
    ] {
        assert_eq!(Socket::open(&receiver, path, &[line]).await.status(), status, "{path} {line}");
    }
    let settings = Settings { allow_query_token: true, ..Settings::default() };
    let receiver = Receiver::start_with(json!({}), settings).await;
    for (path, line, status) in [
        (&*query, "Accept: */*", 101),
        (&*query, "Authorization: Bearer wrong", 401),
        ("/connect/stream/c?token=wrong", "Accept: */*", 401),
        ("/connect/stream/c?token=wrong", &*bearer, 101),
    ] {
        assert_eq!(Socket::open(&receiver, path, &[line]).await.status(), status, "{path} {line}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_upgraded_and_closed_with_4003() {
    let receiver = Receiver::start(json!({ "max_connections": 1 })).await;
    let _first = connected(&receiver).await;
    let mut second = Socket::open(&receiver, PATH, &[&authorization()]).await;
    assert_eq!(second.status(), 101);
    let message = second.message().await;
    assert_eq!((message.first, &message.bytes[..]), (0x88, &b"\x0f\xa3Max connections reached"[..]));
    assert!(second.ends().await, "nothing else is sent");
}

#[tokio::test]
async fn signs_of_life_come_in_time_under_load_and_none_are_asked_for() {
    let receiver = Receiver::start(json!({ "heartbeat_seconds": 1 })).await;
    let mut socket = connected(&receiver).await;
    let (began, mut beats, mut webhooks) = (Instant::now(), Vec::new(), 0);
    while beats.len() < 4 {
        receiver.accepts("json", b"{}").await;
        let text = socket.text().await;
        if text.starts_with(r#"{"type":"heartbeat""#) {
            beats.push(began.elapsed());
        } else {
            webhooks += 1;
            socket.says(&json!({ "type": "ack", "message_id": id_of(&text) }).to_string()).await;
        }
    }
    let late = beats.windows(2).any(|pair| pair[1] - pair[0] > Duration::from_millis(1_800));
    assert!(!late && webhooks > 10, "{beats:?}, {webhooks} webhooks");
}

#[tokio::test]
async fn what_an_old_connector_cannot_take_is_parked_and_holds_nothing_up() {
    let receiver = Receiver::start(json!({ "ack_timeout_seconds": 1 })).await;
    let mut socket = connected(&receiver).await;
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
    let large = receiver.accepts("json", &text(FRAME)).await;
    let binary = receiver.accepts("blob", b"\xff\xfe no JSON").await;
    let not_utf8 = receiver.accepts("blob", b"\"\xff\"").await;
    let fits = receiver.accepts("json", &text(FRAME - 4_096)).await;
    let message = socket.news().await;
    assert_eq!(id_of(&message), fits);
    assert!(message.len() <= FRAME && message.len() > FRAME - 4_096, "{}", message.len());
    socket.says(&json!({ "type": "ack", "message_id": fits }).to_string()).await;
    for (id, reason) in [
        (large, "longer than the connector's 4194304 bytes"),
        (binary, "its body is not JSON"),
        (not_utf8, "its body is not JSON"),
    ] {
        let letter = receiver.parks(&id).await;
        assert!(letter.contains(reason), "{letter}");
    }
}

#[tokio::test]
async fn an_old_connector_need_not_beat_but_one_that_did_is_missed() {
    let receiver = Receiver::start(json!({ "heartbeat_seconds": 1 })).await;
    let (mut silent, mut lively) = (connected(&receiver).await, connected(&receiver).await);
    lively.says(r#"{"type":"heartbeat","timestamp":"2026-11-23T12:32:12.538246+00:00"}"#).await;
    receiver.comes_to("connected_clients", 2).await;
    receiver.comes_to("connected_clients", 1).await;
    receiver.accepts("json", b"{}").await;
    assert!(silent.news().await.contains(r#""type":"webhook""#));
}

#[tokio::test]
async fn a_request_without_an_upgrade_is_told_the_other_ways() {
    let receiver = Receiver::start(json!({})).await;
    let answer = receiver.asks(&format!("GET {PATH}"), &[&authorization()]).await;
    assert_eq!(answer.status, 426);
    assert!(answer.head.contains("upgrade: websocket") && answer.text.contains("/sse"), "{answer:?}");
    let posted = receiver.asks(&format!("POST {PATH}"), &[&authorization()]).await;
    assert_eq!(posted.status, 405);
}
