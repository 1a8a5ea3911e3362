//! Something stands in the way: the connector takes the next way, and the better one again later.

use std::time::{Duration, Instant};

use engine::ack::{Cause, Outcome};
use serde_json::{Value, json};

use crate::party::reference::{Reference, Way, message};
use crate::party::stage::Stage;

/// A receiver of ours, and a connector that tries a better way again soon.
async fn start(behave: impl FnOnce(&Reference)) -> (Reference, Stage) {
    let receiver = Reference::start(true).await;
    behave(&receiver);
    let more = json!({"reconnect": {"initial_seconds": 0.001, "max_seconds": 0.01, "better_seconds": 0.3}});
    let stage = Stage::start(receiver.address, more).await;
    (receiver, stage)
}

async fn connected(stage: &Stage, transport: &str) -> Value {
    stage.status_becomes(|status| status["state"] == "connected" && status["transport"] == transport).await
}

#[tokio::test]
async fn whatever_happens_to_the_upgrade_leads_to_events() {
    for websocket in [
        Way::Refuse(426, "Upgrade Required"),
        Way::Refuse(403, "<html>blocked by your administrator</html>"),
        Way::Refuse(200, "<html>a portal</html>"),
        Way::Cut,
    ] {
        let (mut receiver, mut stage) = start(|receiver| receiver.behaviour().websocket = websocket).await;
        let stream = receiver.stream().await;
        connected(&stage, "sse").await;
        stream.send("webhook", &message("msg_0000000000000001")).await;
        stage.confirm().await;
        assert_eq!(receiver.post().await, "/connect/ack?status=ack&message_id=msg_0000000000000001");
    }
}

#[tokio::test]
async fn events_that_do_not_arrive_lead_to_polling_with_the_same_settlements() {
    let (mut receiver, mut stage) = start(|receiver| {
        receiver.behaviour().websocket = Way::Refuse(400, "");
        receiver.behaviour().sse = Way::Refuse(502, "");
    })
    .await;
    connected(&stage, "long_poll").await;
    receiver.poll_returns(message("msg_0000000000000001")).await;
    receiver.poll_returns(message("msg_0000000000000002")).await;
    stage.confirm().await;
    assert_eq!(receiver.post().await, "/connect/ack?status=ack&message_id=msg_0000000000000001");
    let delay = Some(Duration::from_secs(2));
    stage.arrives().await.ack.settle(Outcome::Abandoned { delay, cause: Cause::Unreachable, reason: None });
    let wanted =
        "/connect/ack?status=nack&message_id=msg_0000000000000002&retry=true&delay_ms=2000&cause=unreachable";
    assert_eq!(receiver.post().await, wanted);
}

#[tokio::test]
async fn a_stream_that_stays_silent_is_given_up() {
    let (receiver, stage) = start(|receiver| {
        receiver.behaviour().websocket = Way::Refuse(400, "");
        receiver.behaviour().sse = Way::Silent;
    })
    .await;
    let given_up = tokio::time::timeout(Duration::from_secs(15), async {
        while receiver.requests("/poll").is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(given_up.await.is_ok());
    connected(&stage, "long_poll").await;
}

#[tokio::test]
async fn the_better_way_is_taken_again_once_it_works_and_work_goes_on() {
    let (mut receiver, mut stage) =
        start(|receiver| receiver.behaviour().websocket = Way::Refuse(400, "")).await;
    let stream = receiver.stream().await;
    stream.send("webhook", &message("msg_019ab0000000000000000000000000ff")).await;
    let event = stage.arrives().await;
    receiver.behaviour().websocket = Way::Open;
    let mut socket = receiver.socket().await;
    stream.closed().await;
    connected(&stage, "websocket").await;
    socket.send(&message("msg_019ab0000000000000000000000000ff")).await;
    socket.heartbeat().await;
    event.ack.settle(Outcome::Delivered);
    assert_eq!(
        socket.next().await,
        json!({"type": "ack", "message_id": "msg_019ab0000000000000000000000000ff"})
    );
    assert!(!stage.has_arrived().await);
}

#[tokio::test]
async fn a_refused_token_is_no_reason_for_another_way() {
    let (receiver, stage) = start(|receiver| receiver.behaviour().websocket = Way::Refuse(401, "no")).await;
    let status = stage.status_becomes(|status| !status["last_error"].is_null()).await;
    assert_eq!(status["last_error"], "the receiver refused the token (401): no");
    assert!(receiver.requests("/sse").is_empty());
}

#[tokio::test]
async fn a_receiver_of_ours_is_told_of_life_of_progress_and_of_the_window() {
    let (mut receiver, mut stage) =
        start(|receiver| receiver.behaviour().websocket = Way::Refuse(400, "")).await;
    let stream = receiver.stream().await;
    stream.send("heartbeat", &json!({"timestamp": "2026-11-23T12:31:35+00:00"})).await;
    receiver.posted_heartbeat().await;
    let (_, headers) = receiver.requests("/connect/heartbeat")[0].clone();
    let shown = ["x-connection-id", "webhook-connect-version", "webhook-connect-window"];
    assert_eq!(shown.map(|name| headers[name].to_str().unwrap()), ["sse_1", "1", "100;67108864"]);
    stage.stop();
    assert!(!stage.has_arrived().await);
}

#[tokio::test]
async fn progress_is_told_three_times_within_the_time_that_a_receiver_of_ours_gives() {
    let (mut receiver, mut stage) =
        start(|receiver| receiver.behaviour().websocket = Way::Refuse(400, "")).await;
    let stream = receiver.stream().await;
    stream.send("webhook", &message("msg_0000000000000001")).await;
    let event = stage.arrives().await;
    let began = Instant::now();
    assert_eq!(receiver.post().await, "/connect/ack?status=progress&message_id=msg_0000000000000001");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(3), "{took:?}");
    drop(event);
}
