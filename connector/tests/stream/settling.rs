//! What destinations report reaches the receiver, within the window.

use std::time::{Duration, Instant};

use engine::ack::{Cause, Outcome, Reason};
use engine::meter::Metric;
use schemas::wire::frame::{Frame, Returned, Settle};
use serde_json::json;

use crate::party::receiver::{delivered, webhook};
use crate::start;

#[tokio::test]
async fn a_webhook_is_settled_after_its_destination_confirmed_and_not_before() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let mut sent = webhook(b"{ \"a\": 1 }");
    let seq = peer.deliver(std::slice::from_ref(&sent)).await;
    let event = stage.arrives().await;
    sent.transit.channel = "payments".into();
    assert_eq!(event.webhook, sent);
    assert_eq!(peer.caught_up().await, []);
    event.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(seq, seq));
}

#[tokio::test]
async fn a_webhook_of_ten_megabytes_arrives_whole() {
    let (mut receiver, mut stage) = start(json!({"max_in_flight_bytes": 1024})).await;
    let mut peer = receiver.session().await;
    let body: Vec<u8> = (0..10 * 1024 * 1024_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    peer.deliver(&[webhook(&body)]).await;
    assert!(stage.arrives().await.webhook.body == body);
}

#[tokio::test]
async fn every_outcome_reaches_the_receiver_as_it_is() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    peer.deliver(&[webhook(b"1"), webhook(b"2"), webhook(b"3"), webhook(b"4")]).await;
    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(stage.arrives().await);
    }
    let reason = Reason::new("503 from the destination");
    let delay = Some(Duration::from_secs(2));
    let failed = Outcome::Abandoned { delay, cause: Cause::Failed, reason: Some(reason.clone()) };
    let rejected = Outcome::Failed { reason: reason.clone() };
    drop(events.pop());
    for (event, outcome) in events.into_iter().zip([failed, rejected, Outcome::Delivered]) {
        event.ack.settle(outcome);
    }
    let lost = Returned { seq: 4, cause: Cause::Lost, delay: None, reason: Reason::new("") };
    let failed = Returned { seq: 1, cause: Cause::Failed, delay, reason: reason.clone() };
    let all = Settle {
        delivered: vec![3..=3],
        returned: vec![lost, failed],
        rejected: vec![(2, reason)],
        earlier: vec![],
    };
    assert_eq!(peer.settle().await, all);
}

#[tokio::test]
async fn many_settlements_travel_together_as_ranges() {
    let (mut receiver, mut stage) = start(json!({"max_in_flight": 1000})).await;
    let mut peer = receiver.session().await;
    let webhooks: Vec<_> = (0..1000).map(|_| webhook(b"{}")).collect();
    peer.deliver(&webhooks).await;
    let mut events = Vec::new();
    for _ in 0..1000 {
        events.push(stage.arrives().await);
    }
    events.into_iter().for_each(|event| event.ack.settle(Outcome::Delivered));
    let (mut settled, mut frames) = (0, 0);
    while settled < 1000 {
        let ranges = peer.settle().await.delivered;
        settled += ranges.iter().map(|range| range.end() - range.start() + 1).sum::<u64>();
        frames += 1;
        assert_eq!(ranges.len(), 1, "{ranges:?}");
    }
    assert!((4..=8).contains(&frames), "{frames} frames");
}

#[tokio::test]
async fn what_comes_beyond_the_window_is_given_back_and_never_handed_on() {
    let (mut receiver, mut stage) = start(json!({"max_in_flight": 2})).await;
    let mut peer = receiver.session().await;
    peer.deliver(&(0..5).map(|_| webhook(b"{}")).collect::<Vec<_>>()).await;
    let held = [stage.arrives().await, stage.arrives().await];
    let settle = peer.settle().await;
    assert_eq!(
        settle.returned.iter().map(|back| (back.seq, back.cause)).collect::<Vec<_>>(),
        [(5, Cause::Unreachable)]
    );
    assert_eq!(stage.count(Metric::Limits, "payments", "window"), 1);
    assert!(!stage.has_arrived().await);
    drop(held);
    stage.arrives().await.ack.settle(Outcome::Delivered);
}

#[tokio::test]
async fn a_webhook_that_failed_is_tried_again_when_it_comes_back() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let again = webhook(b"{}");
    peer.deliver(std::slice::from_ref(&again)).await;
    drop(stage.arrives().await);
    assert_eq!(peer.settle().await.returned.len(), 1);
    peer.deliver(std::slice::from_ref(&again)).await;
    stage.confirm().await;
    assert_eq!(peer.settle().await, delivered(2, 2));
}

#[tokio::test]
async fn progress_is_told_for_everything_outstanding_three_times_a_deadline() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session_with(Duration::from_secs(20), Duration::from_millis(300)).await;
    peer.deliver(&[webhook(b"1"), webhook(b"2"), webhook(b"3")]).await;
    let began = Instant::now();
    let events = [stage.arrives().await, stage.arrives().await, stage.arrives().await];
    for _ in 0..3 {
        assert_eq!(peer.next().await, Frame::Progress(vec![1..=3]));
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let [one, two, three] = events;
    two.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(2, 2));
    assert_eq!(peer.next().await, Frame::Progress(vec![1..=1, 3..=3]));
    drop((one, three));
}

#[tokio::test]
async fn a_next_stage_that_ended_ends_this_one_with_an_error() {
    let (mut receiver, stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    peer.deliver(&[webhook(b"{}")]).await;
    assert!(stage.ended_without_destination().await.is_err());
}
