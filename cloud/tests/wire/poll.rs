//! `GET /connect/stream/{channel}/poll` for connectors that announce nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::party::http::Answer;
use crate::party::receiver::{Receiver, authorization};

async fn poll(receiver: &Receiver, query: &str, lines: &[&str]) -> Answer {
    let own = authorization();
    let lines = [&[&*own], lines].concat();
    receiver.asks(&format!("GET /connect/stream/c/poll?{query}"), &lines).await
}

fn ids(polled: &Value) -> Vec<String> {
    let messages = polled["messages"].as_array().unwrap().iter();
    messages.map(|message| message["message_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_poll_is_bounded_in_time_and_number() {
    let receiver = Receiver::start(json!({})).await;
    for query in [
        "timeout=0",
        "timeout=61",
        "timeout=a",
        "timeout=1.5",
        "max_messages=0",
        "max_messages=101",
        "max_messages=-1",
    ] {
        assert_eq!(poll(&receiver, query, &[]).await.status, 422, "{query}");
    }
    let began = Instant::now();
    let nothing = poll(&receiver, "timeout=1&max_messages=100", &[]).await;
    assert_eq!((nothing.status, &*nothing.text), (204, ""));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn what_a_poll_returns_is_a_lease_that_any_connection_may_acknowledge() {
    let receiver = Receiver::start(json!({})).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(receiver.accepts("json", b"[1, 2]").await);
    }
    let answer = poll(&receiver, "timeout=60&max_messages=2", &["X-Connector-ID: dc-1"]).await;
    let begins = r#"{"messages":[{"type":"webhook","message_id":"msg_"#;
    assert!(answer.status == 200 && answer.text.starts_with(begins), "{answer:?}");
    assert!(answer.text.contains(r#""payload":[1, 2],"#), "{answer:?}");
    let polled = answer.json();
    let keys: Vec<_> = polled.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["messages", "connection_id", "channel", "timestamp"]);
    assert!(polled["connection_id"].as_str().unwrap().starts_with("poll_dc-1_"), "{polled}");
    assert_eq!((ids(&polled), &polled["channel"]), (sent[..2].to_vec(), &json!("c")));
    let rest = poll(&receiver, "", &[]).await.json();
    assert!(rest["connection_id"].as_str().unwrap().starts_with("poll_poll_default_"), "{rest}");
    assert_eq!(ids(&rest), sent[2..]);
    for id in &sent {
        assert_eq!(receiver.acknowledges(&format!("message_id={id}")).await.status, 200);
        assert_eq!(receiver.acknowledges(&format!("message_id={id}")).await.status, 404, "it is settled");
    }
    receiver.comes_to("messages_delivered", 5).await;
}

#[tokio::test]
async fn a_poll_without_room_or_right_is_refused_in_the_references_words() {
    let receiver = Receiver::start(json!({ "max_connections": 1 })).await;
    let get = "GET /connect/stream/c/poll?timeout=1";
    let missing = receiver.asks(get, &["Accept: */*"]).await;
    assert_eq!(missing.detail(), (401, "Missing authorization token".to_owned()));
    let wrong = receiver.asks(get, &["Authorization: Bearer wrong"]).await;
    assert_eq!(wrong.detail(), (401, "Invalid channel token".to_owned()));
    let (first, second) = tokio::join!(poll(&receiver, "timeout=1", &[]), poll(&receiver, "timeout=1", &[]));
    let (held, refused) = if first.status == 204 { (first, second) } else { (second, first) };
    assert_eq!(held.status, 204);
    assert_eq!(refused.detail(), (503, "Max connections reached".to_owned()));
}

#[tokio::test]
async fn a_tap_that_polls_sees_what_came_since_its_last_poll_and_settles_nothing() {
    let receiver = Receiver::start(json!({})).await;
    let tap = ["webhook-connect-tap: 1", "X-Connector-ID: desk"];
    assert_eq!(poll(&receiver, "timeout=1", &tap).await.status, 204);
    let sent = [receiver.accepts("json", b"1").await, receiver.accepts("json", b"2").await];
    let polled = poll(&receiver, "timeout=1", &tap).await.json();
    assert_eq!(ids(&polled), sent);
    let name = format!("X-Connection-ID: {}", polled["connection_id"].as_str().unwrap());
    let own = authorization();
    let acknowledged =
        receiver.asks(&format!("POST /connect/ack?message_id={}", sent[0]), &[&*own, &*name]).await;
    assert_eq!(acknowledged.status, 200);
    let alive = receiver.asks("POST /connect/heartbeat", &[&*own, &*name]).await;
    assert_eq!(alive.status, 200, "it shows life between its polls");
    let stats = receiver.stats().await;
    assert_eq!((&stats["messages_delivered"], &stats["messages_queued"]), (&json!(0), &json!(2)));
}

#[tokio::test]
async fn the_time_for_a_webhook_is_told_to_those_who_announce_the_version_only() {
    let receiver = Receiver::start(json!({ "ack_timeout_seconds": 7 })).await;
    let told = |answer: &Answer| answer.head.lines().any(|line| line == "webhook-connect-ack-timeout: 7");
    assert!(told(&poll(&receiver, "timeout=1", &["Webhook-Connect-Version: 1"]).await));
    assert!(!told(&poll(&receiver, "timeout=1", &[]).await));
}
