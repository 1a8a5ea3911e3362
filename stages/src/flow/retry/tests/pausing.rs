//! The route that pauses while its destination cannot be reached.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_route_without_connection_pauses_and_goes_on_when_it_is_back() {
    let mut rig = Rig::start(json!({"initial_delay": 3600, "max_delay": 3600})).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(rig.send().await);
    }
    for _ in 0..5 {
        rig.tried().await.ack.settle(no_connection());
    }
    settle_down().await;
    sent.push(rig.send().await);
    let look = rig.tried().await;
    assert_eq!(look.webhook.id(), sent[5].0, "another webhook looks");
    rig.no_try_within(Duration::from_secs(10)).await;
    look.ack.settle(Outcome::Delivered);
    let back = Instant::now();
    for _ in 0..5 {
        rig.tried().await.ack.settle(Outcome::Delivered);
    }
    assert_eq!(back.elapsed(), Duration::ZERO, "what waited for the route goes at once");
    for (_, told) in sent {
        assert_eq!(heard(told).await, Ok(Outcome::Delivered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_was_asked_to_wait_does_not_look() {
    let mut rig = Rig::start(json!({})).await;
    let (asked, _told) = rig.send().await;
    rig.tried().await.ack.settle(busy(Some(3000)));
    let (paused, _paused_told) = rig.pause().await;
    for _ in 0..5 {
        let look = rig.tried().await;
        assert_eq!((look.webhook.id() == asked, look.webhook.id() == paused), (false, true));
        look.ack.settle(no_connection());
    }
}

#[tokio::test(start_paused = true)]
async fn each_look_is_another_webhook() {
    let mut rig = Rig::start(json!({"initial_delay": 3600, "max_delay": 3600})).await;
    let mut sent = vec![rig.pause().await];
    for _ in 0..2 {
        sent.push(rig.send().await);
    }
    settle_down().await;
    let mut looked = Vec::new();
    for _ in 0..12 {
        let probe = rig.tried().await;
        looked.push(probe.webhook.id());
        probe.ack.settle(timed_out());
    }
    // The first of them found out that the route is down, so it is the last of the first round.
    let ids: Vec<Id> = sent.iter().map(|(id, _)| *id).collect();
    assert_eq!(looked[..2], ids[1..]);
    for round in looked[2..11].chunks(3) {
        assert!(ids.iter().all(|id| round.contains(id)), "{looked:?} of {ids:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn three_different_webhooks_in_a_row_pause_the_route_and_fewer_do_not() {
    let mut rig = Rig::start(json!({"initial_delay": 3600, "max_delay": 3600})).await;
    let mut told = Vec::new();
    for outcome in [busy(None), busy(None), refused(None), busy(None), busy(None)] {
        told.push(rig.send().await);
        rig.tried_now().await.ack.settle(outcome);
    }
    told.push(rig.send().await);
    rig.tried_now().await.ack.settle(busy(None));
    settle_down().await;
    told.push(rig.send().await);
    rig.no_try_within(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn one_webhook_that_is_unreachable_again_and_again_pauses_nothing() {
    let mut rig = Rig::start(json!({})).await;
    let (poison, _told) = rig.send().await;
    for _ in 0..5 {
        let event = rig.tried().await;
        assert_eq!(event.webhook.id(), poison);
        event.ack.settle(busy(None));
    }
    settle_down().await;
    let (other, _other_told) = rig.send().await;
    assert_eq!(rig.tried_now().await.webhook.id(), other);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_while_others_succeed_counts_as_failed() {
    let mut rig = Rig::start(json!({"max_attempts": 2})).await;
    let (_, mut told) = rig.send().await;
    for tries in 1..=2 {
        let slow = rig.tried().await;
        let (_, quick) = rig.send().await;
        rig.tried().await.ack.settle(Outcome::Delivered);
        assert_eq!(heard(quick).await, Ok(Outcome::Delivered));
        assert!(told.try_recv().is_err(), "given back before try {tries}");
        slow.ack.settle(timed_out());
    }
    assert_eq!(heard(told).await, Ok(abandoned(Cause::Failed, Symptom::Silence, None)));
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_a_destination_that_takes_nothing_count_for_ever() {
    let mut rig = Rig::start(json!({"max_attempts": 1})).await;
    let mut sent = [rig.send().await, rig.send().await, rig.send().await];
    for _ in 0..50 {
        rig.tried().await.ack.settle(timed_out());
    }
    settle_down().await;
    assert!(sent.iter_mut().all(|(_, told)| told.try_recv().is_err()), "one was given back");
    for _ in 0..3 {
        rig.tried().await.ack.settle(Outcome::Delivered);
    }
    for (_, told) in sent {
        assert_eq!(heard(told).await, Ok(Outcome::Delivered));
    }
}

/// Where the window upstream is small, nobody else could ever come.
#[tokio::test(start_paused = true)]
async fn webhooks_that_hang_make_room_when_nobody_else_is_here_and_more_of_it_each_time() {
    let mut rig = Rig::start(json!({"max_attempts": 1})).await;
    let mut webhook = webhook(&[], b"{}");
    webhook.transit.attempt = 2;
    let begun = Instant::now();
    let mut sent = [rig.send_this(webhook).await, rig.send().await.1];
    let mut given_back = None;
    while given_back.is_none() {
        let event = rig.tried().await;
        sleep(Duration::from_secs(30)).await;
        event.ack.settle(timed_out());
        settle_down().await;
        given_back = sent.iter_mut().find_map(|told| told.try_recv().ok());
    }
    let Some(Outcome::Abandoned { delay: Some(delay), cause: Cause::Unreachable, .. }) = given_back else {
        panic!("it was not given back as unreachable: {given_back:?}");
    };
    let took = begun.elapsed() - Duration::from_millis(1);
    assert!(delay == took || delay == 2 * took, "{delay:?} of {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_route_holds_half_the_window_and_gives_the_rest_back_untried() {
    let mut rig = Rig::start(json!({"max_in_flight": 8, "initial_delay": 60})).await;
    let mut held = vec![rig.pause().await];
    for _ in 0..3 {
        held.push(rig.send().await);
    }
    for _ in 0..20 {
        let (_, told) = rig.send().await;
        let Ok(Outcome::Abandoned { delay, cause, .. }) = heard(told).await else { panic!("not given back") };
        assert_eq!((delay, cause), (Some(Duration::from_secs(60)), Cause::Unreachable));
    }
    for (_, told) in &mut held {
        assert!(told.try_recv().is_err(), "half of the window is held");
    }
    rig.tried().await.ack.settle(Outcome::Delivered);
    for _ in 0..3 {
        rig.tried().await.ack.settle(Outcome::Delivered);
    }
    for (_, told) in held {
        assert_eq!(heard(told).await, Ok(Outcome::Delivered));
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_the_bytes_is_a_bound_too() {
    let rig = &mut Rig::start(json!({"max_in_flight_bytes": 10_000, "initial_delay": 60})).await;
    let (_, _first) = rig.pause().await;
    let _second = rig.send_this(webhook(&[], &[b'1'; 4000])).await;
    let third = rig.send_this(webhook(&[], &[b'1'; 4000])).await;
    assert!(matches!(heard(third).await, Ok(Outcome::Abandoned { cause: Cause::Unreachable, .. })));
}
