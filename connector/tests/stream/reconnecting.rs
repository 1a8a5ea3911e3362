//! Work outlives connections, and ends in order.

use std::time::Duration;

use engine::ack::{Outcome, Reason};
use engine::ledger::Window;
use engine::meter::Metric;
use schemas::wire::frame::Frame;
use serde_json::json;

use crate::party::receiver::{delivered, earlier, webhook};
use crate::start;

#[tokio::test]
async fn work_that_survived_its_connection_still_takes_room_in_the_window() {
    let (mut receiver, mut stage) = start(json!({"max_in_flight": 1})).await;
    let mut peer = receiver.session().await;
    let (first, second) = (webhook(b"1"), webhook(b"2"));
    peer.deliver(std::slice::from_ref(&first)).await;
    let event = stage.arrives().await;
    drop(peer);
    let mut peer = receiver.session().await;
    peer.deliver(std::slice::from_ref(&second)).await;
    assert_eq!(peer.caught_up().await, []);
    assert!(!stage.has_arrived().await);
    event.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, earlier(vec![(first.id(), Outcome::Delivered)]));
    let event = stage.arrives().await;
    assert_eq!(event.webhook.id(), second.id());
    event.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(1, 1));
}

#[tokio::test]
async fn what_was_confirmed_without_a_connection_is_told_by_id_on_the_next() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let webhooks = [webhook(b"1"), webhook(b"2"), webhook(b"3")];
    peer.deliver(&webhooks).await;
    let [one, other, forgotten] = [stage.arrives().await, stage.arrives().await, stage.arrives().await];
    drop(peer);
    let mut peer = receiver.connection().await;
    let rejected = Outcome::Failed { reason: Reason::new("no") };
    one.ack.settle(Outcome::Delivered);
    drop(forgotten);
    other.ack.settle(rejected.clone());
    peer.frame().await;
    let (heartbeat, ack_deadline) = (Duration::from_secs(20), Duration::from_secs(30));
    peer.send(Frame::Welcome { session: "s2".into(), heartbeat, ack_deadline, largest: 1 << 20 }).await;
    let told = earlier(vec![(webhooks[0].id(), Outcome::Delivered), (webhooks[1].id(), rejected)]);
    assert_eq!(peer.settle().await, told);
    let status = stage.status_becomes(|status| status["reconnects"] == 1).await;
    assert_eq!(
        (&status["state"], &status["delivered"], &status["outstanding"]),
        (&json!("connected"), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_copy_of_a_delivered_webhook_is_acknowledged_without_a_second_call() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let once = webhook(b"{}");
    peer.deliver(std::slice::from_ref(&once)).await;
    stage.confirm().await;
    assert_eq!(peer.settle().await, delivered(1, 1));
    peer.deliver(std::slice::from_ref(&once)).await;
    assert_eq!(peer.settle().await, delivered(2, 2));
    drop(peer);
    let mut peer = receiver.session().await;
    peer.deliver(std::slice::from_ref(&once)).await;
    assert_eq!(peer.settle().await, delivered(1, 1));
    assert!(!stage.has_arrived().await);
    assert_eq!(stage.count(Metric::Duplicates, "payments.subscribe", ""), 2);
}

#[tokio::test]
async fn a_copy_of_a_webhook_in_progress_joins_it() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let once = webhook(b"{}");
    peer.deliver(std::slice::from_ref(&once)).await;
    let event = stage.arrives().await;
    drop(peer);
    let mut peer = receiver.session().await;
    peer.deliver(&[webhook(b"other"), once.clone(), once.clone()]).await;
    stage.confirm().await;
    assert_eq!(peer.settle().await, delivered(1, 1));
    assert!(!stage.has_arrived().await);
    event.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(2, 3));
}

#[tokio::test]
async fn a_stopped_connector_finishes_what_it_holds_tells_it_and_says_goodbye() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    peer.deliver(&[webhook(b"1"), webhook(b"2")]).await;
    let [one, other] = [stage.arrives().await, stage.arrives().await];
    stage.stop();
    assert_eq!(peer.next().await, Frame::Window(Window { events: 0, bytes: 0 }));
    peer.deliver(&[webhook(b"late")]).await;
    let late = peer.settle().await.returned;
    assert_eq!((late.len(), late[0].seq, late[0].delay), (1, 3, Some(Duration::ZERO)));
    one.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(1, 1));
    other.ack.settle(Outcome::Delivered);
    assert_eq!(peer.settle().await, delivered(2, 2));
    assert!(matches!(peer.next().await, Frame::Bye(_)));
    assert!(!stage.has_arrived().await);
    assert!(stage.ended().await.is_ok());
}

#[tokio::test]
async fn a_connector_stopped_without_a_connection_still_tells_what_it_finished() {
    let (mut receiver, mut stage) = start(json!({})).await;
    let mut peer = receiver.session().await;
    let held = webhook(b"1");
    peer.deliver(std::slice::from_ref(&held)).await;
    let event = stage.arrives().await;
    drop(peer);
    stage.stop();
    let mut peer = receiver.session().await;
    event.ack.settle(Outcome::Delivered);
    let mut frames = vec![peer.next().await, peer.next().await];
    frames.sort_by_key(|frame| matches!(frame, Frame::Settle(_)));
    let told = earlier(vec![(held.id(), Outcome::Delivered)]);
    assert_eq!(frames, [Frame::Window(Window { events: 0, bytes: 0 }), Frame::Settle(told)]);
    assert!(matches!(peer.next().await, Frame::Bye(_)));
    assert!(stage.ended().await.is_ok());
}
