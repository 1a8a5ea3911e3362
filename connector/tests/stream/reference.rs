//! A receiver of the reference kind, which does not know our additions.

use std::time::Duration;

use engine::ack::{Cause, Outcome, Reason};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::party::reference::{Events, Reference, Way, message};
use crate::party::soon;
use crate::party::stage::Stage;

async fn start(more: Value) -> (Reference, Stage) {
    let receiver = Reference::start(false).await;
    let stage = Stage::start(receiver.address, more).await;
    (receiver, stage)
}

fn ack(id: &str) -> Value {
    json!({"type": "ack", "message_id": id})
}

#[tokio::test]
async fn a_receiver_that_selects_no_protocol_is_spoken_to_in_the_compatible_dialect() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut socket = receiver.socket().await;
    socket.send(&message("msg_4868226cb5fc4f49")).await;
    let event = stage.arrives().await;
    assert_eq!((&event.webhook.body[..], &*event.webhook.transit.channel), (&b"{\"n\":1}"[..], "payments"));
    event.ack.settle(Outcome::Delivered);
    assert_eq!(socket.next().await, ack("msg_4868226cb5fc4f49"));
    let status = stage.status_becomes(|status| status["delivered"] == 1).await;
    assert_eq!(status["transport"], "websocket");
}

#[tokio::test]
async fn every_heartbeat_is_echoed() {
    let (mut receiver, stage) = start(json!({})).await;
    let mut socket = receiver.socket().await;
    for _ in 0..3 {
        socket.heartbeat().await;
        let echo = socket.any().await;
        assert_eq!(echo["type"], "heartbeat");
        assert!(echo["timestamp"].is_string(), "{echo}");
    }
    drop(stage);
}

#[tokio::test]
async fn a_webhook_may_come_before_the_welcome() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut socket = receiver.silent_socket().await;
    socket.send(&message("msg_0000000000000001")).await;
    stage.confirm().await;
    assert_eq!(socket.next().await, ack("msg_0000000000000001"));
    socket.send(&json!({"type": "connected", "connection_id": "wsc_1", "channel": "payments"})).await;
    socket.send(&message("msg_0000000000000002")).await;
    stage.confirm().await;
    assert_eq!(socket.next().await, ack("msg_0000000000000002"));
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_without_a_second_delivery() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut socket = receiver.socket().await;
    socket.send(&message("msg_0000000000000001")).await;
    stage.confirm().await;
    assert_eq!(socket.next().await, ack("msg_0000000000000001"));
    drop(socket);
    let mut socket = receiver.socket().await;
    socket.send(&message("msg_0000000000000001")).await;
    assert_eq!(socket.next().await, ack("msg_0000000000000001"));
    assert!(!stage.has_arrived().await);
}

#[tokio::test]
async fn what_is_given_back_is_held_for_its_delay_because_it_would_come_back_at_once() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut socket = receiver.socket().await;
    for id in ["msg_0000000000000001", "msg_0000000000000002"] {
        socket.send(&message(id)).await;
    }
    let [first, second] = [stage.arrives().await, stage.arrives().await];
    let began = Instant::now();
    let delay = Some(Duration::from_millis(10));
    first.ack.settle(Outcome::Abandoned { delay, cause: Cause::Unreachable, reason: None });
    second.ack.settle(Outcome::Failed { reason: Reason::new("no") });
    let rejected = socket.next().await;
    let wanted =
        json!({"type": "nack", "message_id": "msg_0000000000000002", "retry": false, "reason": "no"});
    assert_eq!(rejected, wanted);
    let returned = socket.next().await;
    assert_eq!((&returned["message_id"], &returned["retry"]), (&json!("msg_0000000000000001"), &json!(true)));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_socket_that_the_receiver_has_forgotten_is_left_though_heartbeats_arrive() {
    let (mut receiver, stage) = start(json!({})).await;
    receiver.behaviour().connected_clients = 0;
    let mut socket = receiver.socket().await;
    let beats = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            socket.heartbeat().await;
        }
    });
    let _again = receiver.socket().await;
    let status = stage.status_becomes(|status| status["reconnects"] == 1).await;
    assert!(status["last_error"].as_str().unwrap().contains("forgotten"), "{status}");
    beats.abort();
}

#[tokio::test]
async fn a_wordless_refusal_is_waited_out() {
    let receiver = Reference::start(false).await;
    receiver.behaviour().websocket = Way::Refuse(403, "");
    receiver.behaviour().sse = Way::Refuse(401, "{\"detail\":\"Invalid channel token\"}");
    let mut receiver = receiver;
    let stage = Stage::start(receiver.address, json!({})).await;
    // Every third time another way is looked at, whose error then stands there for a moment.
    let told =
        |status: &Value| status["last_error"].as_str().is_some_and(|error| error.contains("not registered"));
    stage.status_becomes(told).await;
    // The channel is registered by its first webhook.
    stage.status_becomes(|_| receiver.requests("/sse").len() >= 2).await;
    receiver.behaviour().websocket = Way::Open;
    let _socket = receiver.socket().await;
    let status = stage.status_becomes(|status| status["state"] == "connected").await;
    assert_eq!(status["transport"], "websocket");
}

#[tokio::test]
async fn events_are_settled_by_requests_that_name_the_stream() {
    let (mut receiver, mut stage) = start(json!({"protocol": "sse", "connector_id": "dc-1"})).await;
    let stream = receiver.stream().await;
    stream.send("webhook", &message("msg_0000000000000001")).await;
    stage.confirm().await;
    assert_eq!(receiver.post().await, "/connect/ack?status=ack&message_id=msg_0000000000000001");
    stream.send("webhook", &message("msg_0000000000000002")).await;
    stage.arrives().await.ack.settle(Outcome::Failed { reason: Reason::new("no") });
    let wanted = "/connect/ack?status=nack&message_id=msg_0000000000000002&retry=false&reason=no";
    assert_eq!(receiver.post().await, wanted);
    let (_, headers) = receiver.requests("POST /connect/ack")[0].clone();
    let shown =
        ["authorization", "x-connection-id", "x-connector-id"].map(|name| headers[name].to_str().unwrap());
    assert_eq!(shown, ["Bearer s3cret", "sse_1", "dc-1"]);
    // It knows no heartbeats by HTTP.
    stream.send("heartbeat", &json!({"timestamp": "2026-11-23T12:31:35+00:00"})).await;
    stream.send("webhook", &message("msg_0000000000000003")).await;
    stage.confirm().await;
    receiver.post().await;
    assert!(receiver.requests("/connect/heartbeat").is_empty());
}

#[tokio::test]
async fn a_stream_that_the_receiver_does_not_know_any_more_is_opened_anew() {
    let (mut receiver, mut stage) = start(json!({"protocol": "sse"})).await;
    let stream = receiver.stream().await;
    receiver.behaviour().settled = (404, "{\"detail\":\"Connection not found\"}");
    stream.send("webhook", &message("msg_0000000000000001")).await;
    stage.confirm().await;
    let stream = receiver.stream().await;
    receiver.behaviour().settled = (404, "{\"detail\":\"Message not in flight\"}");
    let again = receiver.requests("POST /connect/ack").len();
    stream.send("webhook", &message("msg_0000000000000001")).await;
    stage.status_becomes(|status| status["duplicates"] == 1).await;
    stage.status_becomes(|_| receiver.requests("POST /connect/ack").len() > again).await;
    assert!(!stage.has_arrived().await);
    stream.raw(": the stream goes on\n\n").await;
}

/// Has two webhooks confirmed by a connector whose receiver answers in this way when both are settled together.
async fn settled_together(answer: (u16, &'static str)) -> (Reference, Stage, Events) {
    let mut receiver = Reference::start(true).await;
    receiver.behaviour().together = Some(answer);
    let mut stage = Stage::start(receiver.address, json!({"protocol": "sse"})).await;
    let stream = receiver.stream().await;
    let two = ["msg_0000000000000001", "msg_0000000000000002"].map(|id| message(id).to_string());
    let [first, second] = two.map(|data| format!("event: webhook\ndata: {data}\n\n"));
    stream.raw(&(first + &second)).await;
    let (first, second) = (stage.arrives().await, stage.arrives().await);
    first.ack.settle(Outcome::Delivered);
    second.ack.settle(Outcome::Delivered);
    (receiver, stage, stream)
}

#[tokio::test]
async fn settlements_that_are_refused_together_are_told_one_by_one() {
    for answer in [(422, "{}"), (404, "not found"), (413, ""), (415, "")] {
        let (mut receiver, _stage, _stream) = settled_together(answer).await;
        assert_eq!(receiver.post().await, "/connect/ack");
        let mut singly = [receiver.post().await, receiver.post().await];
        singly.sort();
        for (post, id) in singly.iter().zip(["msg_0000000000000001", "msg_0000000000000002"]) {
            assert!(post.starts_with("/connect/ack?") && post.contains(id), "{post}");
        }
    }
}

#[tokio::test]
async fn a_settlement_that_the_receiver_asks_for_again_is_told_again() {
    let answer = (200, "{\"again\":[\"msg_0000000000000002\"]}");
    let (mut receiver, _stage, _stream) = settled_together(answer).await;
    let mut again = receiver.post().await;
    while again == "/connect/ack" {
        again = receiver.post().await;
    }
    assert!(again.starts_with("/connect/ack?") && again.contains("msg_0000000000000002"), "{again}");
}

#[tokio::test]
async fn a_receiver_of_the_reference_kind_is_never_polled() {
    let receiver = Reference::start(false).await;
    let stage = Stage::start(receiver.address, json!({"protocol": "long_poll"})).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    assert!(status["last_error"].as_str().unwrap().contains("webhook-connect-version"), "{status}");
    assert!(receiver.requests("/poll").is_empty());
}

#[tokio::test]
async fn stopping_settles_what_is_in_progress_and_reads_nothing_more() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut socket = receiver.socket().await;
    socket.send(&message("msg_0000000000000001")).await;
    let event = stage.arrives().await;
    stage.stop();
    // A stop that is noticed late would still take this one.
    stage.status_becomes(|status| status["outstanding"] == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    socket.send(&message("msg_0000000000000002")).await;
    event.ack.settle(Outcome::Delivered);
    assert_eq!(socket.next().await, ack("msg_0000000000000001"));
    assert_eq!(soon("the end", socket.any_or_end()).await, None);
    assert!(stage.ended().await.is_ok());
}
