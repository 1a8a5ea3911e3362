//! How a connection comes about, lives and is missed.

use std::time::{Duration, Instant};

use engine::meter::Metric;
use schemas::wire::frame::{Delivery, Frame};
use serde_json::json;
use tungstenite::Message;

use crate::party::receiver::{Answers, Receiver, delivered, webhook, window};
use crate::party::stage::{Stage, faults, settings};
use crate::{party, start};

#[tokio::test]
async fn a_connector_introduces_itself_as_the_protocol_says() {
    let (mut receiver, stage) = start(json!({"connector_id": "dc-1", "max_in_flight": 7})).await;
    let peer = receiver.session().await;
    let hello = Frame::Hello { window: window(7), connector: "dc-1".into(), tap: false };
    assert_eq!(peer.hello, Some(hello));
    let (path, headers) = receiver.requests.lock().unwrap()[0].clone();
    let shown = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(path, "/connect/stream/payments");
    assert_eq!(
        ["authorization", "sec-websocket-protocol", "webhook-connect-version", "host"].map(shown),
        ["Bearer s3cret", "webhook-connect.v1", "1", &receiver.address.to_string()]
    );
    drop(stage);
}

#[tokio::test]
async fn something_is_sent_in_every_heartbeat_and_pings_are_answered() {
    let (mut receiver, stage) = start(json!({})).await;
    let heartbeat = Duration::from_millis(200);
    let mut peer = receiver.session_with(heartbeat, Duration::from_secs(30)).await;
    for n in 0..4 {
        let began = Instant::now();
        let frame = peer.frame().await;
        assert!(matches!(frame, Frame::Ping(_)), "{frame:?}");
        assert!(began.elapsed() < heartbeat, "{:?}", began.elapsed());
        peer.send(Frame::Ping(n)).await;
        assert_eq!(peer.frame().await, Frame::Pong(n));
    }
    drop(stage);
}

#[tokio::test]
async fn a_receiver_that_falls_silent_is_left_after_two_heartbeats() {
    let (mut receiver, stage) = start(json!({})).await;
    let mut peer = receiver.session_with(Duration::from_millis(100), Duration::from_secs(30)).await;
    let began = Instant::now();
    party::soon("the end", async { while peer.frame_or_end().await.is_some() {} }).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(2), "{took:?}");
    let _peer = receiver.session().await;
    let status = stage.status_becomes(|status| status["reconnects"] == 1).await;
    assert!(status["last_error"].as_str().unwrap().contains("two heartbeats"), "{status}");
}

#[tokio::test]
async fn a_message_that_takes_longer_than_two_heartbeats_arrives_on_a_slow_line() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session_with(Duration::from_millis(100), Duration::from_secs(30)).await;
    let frame = Frame::Deliver(vec![Delivery { seq: 1, webhook: webhook(&[7; 1000]) }]);
    peer.trickle(frame, 10, Duration::from_millis(50)).await;
    stage.confirm().await;
    assert_eq!(peer.settle().await, delivered(1, 1));
}

#[tokio::test]
async fn a_message_that_is_not_understood_is_counted_and_the_stream_lives() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    peer.send_raw(Message::Binary(vec![3, 0, 0, 0, 9].into())).await;
    peer.send_raw(Message::Binary(vec![200].into())).await;
    peer.send_raw(Message::Text("{\"type\":\"webhook\"}".into())).await;
    peer.send(Frame::Bye("".into()).clone()).await;
    let mut peer = receiver.session().await;
    peer.send_raw(Message::Binary(vec![].into())).await;
    peer.send(Frame::Window(window(1))).await;
    peer.deliver(&[webhook(b"{}")]).await;
    stage.confirm().await;
    assert_eq!(peer.settle().await, delivered(1, 1));
    assert_eq!(stage.count(Metric::NotUnderstood, "payments", ""), 5);
}

#[tokio::test]
async fn a_refused_token_is_told_and_tried_again_slowly() {
    let receiver = Receiver::start(Answers::Refuse(401, "{\"detail\":\"Unauthorized\"}")).await;
    let stage = Stage::start(receiver.address, json!({})).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    assert_eq!(status["last_error"], "the receiver refused the token (401): {\"detail\":\"Unauthorized\"}");
    assert_eq!(status["state"], "waiting");
    // With the settings' waits of at most 10 ms there would be dozens.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn another_answer_than_the_upgrade_is_told_with_status_and_text() {
    let text = "no such page\n".repeat(40).leak();
    let receiver = Receiver::start(Answers::Refuse(404, text)).await;
    let stage = Stage::start(receiver.address, json!({})).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    let error = status["last_error"].as_str().unwrap();
    let told = error.strip_prefix("the receiver answered 404 Not Found: ").expect(error);
    assert!(told.starts_with("no such page no such page ") && told.len() <= 200, "{told}");
    stage.status_becomes(|_| receiver.requests.lock().unwrap().len() > 3).await;
}

#[tokio::test]
async fn a_token_that_an_answer_repeats_is_not_shown() {
    let receiver = Receiver::start(Answers::Refuse(400, "you sent authorization: Bearer s3cret")).await;
    let stage = Stage::start(receiver.address, json!({})).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    let told = "the receiver answered 400 Bad Request: you sent authorization: Bearer ***";
    assert_eq!(status["last_error"], told);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_until_it_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let stage = Stage::start(address, json!({})).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    let error = status["last_error"].as_str().unwrap();
    assert!(error.starts_with(&format!("cannot connect to {address}: ")), "{error}");
    stage.stop();
    assert!(stage.ended().await.is_ok());
}

#[tokio::test]
async fn health_says_whether_every_channel_is_connected() {
    let (mut receiver, stage) = start(json!({})).await;
    let peer = receiver.connection().await;
    assert_eq!(
        stage.ask("/health").await,
        (503, json!({"status": "unhealthy", "channels": {"payments": "connecting"}}))
    );
    drop(peer);
    let _peer = receiver.session().await;
    stage.status_becomes(|status| status["state"] == "connected").await;
    assert_eq!(
        stage.ask("/health").await,
        (200, json!({"status": "healthy", "channels": {"payments": "connected"}}))
    );
    assert_eq!(stage.ask("/").await.0, 404);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let address = "127.0.0.1:1".parse().unwrap();
    assert!(!faults(settings(address, json!({}))).contains("Fault {"));
    for (wrong, named) in [
        (json!({"url": "ftp://x"}), "/url"),
        (json!({"channel": "a/b"}), "/channel"),
        (json!({"token": "a b"}), "/token"),
        (json!({"max_in_flight": 0}), "/max_in_flight"),
        (json!({"max_in_flight": 200_000}), "/max_in_flight"),
        (json!({"reconnect": {"initial_seconds": 0}}), "/reconnect/initial_seconds"),
        (json!({"reconnect": {"initial_seconds": 61}}), "/reconnect"),
        (json!({"chanel": "x"}), "chanel"),
    ] {
        let told = faults(settings(address, wrong.clone()));
        assert!(told.contains(named), "{wrong}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}
