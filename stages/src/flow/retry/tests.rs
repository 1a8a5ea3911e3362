//! The retry between two edges, on a clock that the tests own.

mod pausing;

use engine::ack::{Ack, Cause, Outcome, Reason, Symptom};
use engine::kind::Kind;
use engine::meter::{Edge, Metric};
use engine::port::{Exhausted, In, Out, Verified, edge};
use engine::webhook::{Event, Id, Webhook};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::testing::{context, faults, parse, webhook};
use rand::SeedableRng;

/// A retry at work, with both of its ends in the test's hands.
struct Rig {
    source: Option<Out<Verified>>,
    destination: In<Verified>,
    dead_letters: Option<In<Exhausted>>,
    stop: watch::Sender<bool>,
    cx: Context,
    stage: JoinHandle<Result<(), StageError>>,
}

/// What a source waits for.
type Told = oneshot::Receiver<Outcome>;

impl Rig {
    async fn start(settings: Value) -> Self {
        Self::wired(settings, false).await
    }

    async fn wired(settings: Value, dead_letters: bool) -> Self {
        let (cx, stop) = context();
        let join = |name| Edge::new(&cx.meter, name);
        let (source, input) = edge(256, join("in"));
        let (out, destination) = edge(256, join("out"));
        let (exhausted, dead) = edge(256, join("dead"));
        let wiring = Wiring {
            input: Some(input),
            out: Some(out),
            exhausted: Some(exhausted).filter(|_| dead_letters),
            ..Wiring::default()
        };
        let settings: Retry = parse(settings);
        let random = StdRng::seed_from_u64(7);
        let stage = tokio::spawn(Box::new(Retrying { settings, random, cx: cx.clone() }).run(wiring));
        Self {
            source: Some(source),
            destination,
            dead_letters: Some(dead).filter(|_| dead_letters),
            stop,
            cx,
            stage,
        }
    }

    /// Sends a webhook through; what becomes of it arrives at the receiver.
    async fn send(&self) -> (Id, Told) {
        let webhook = webhook(&[], b"{}");
        let id = webhook.id();
        (id, self.send_this(webhook).await)
    }

    async fn send_this(&self, webhook: Webhook) -> Told {
        let (ack, told) = Ack::waiter();
        self.source.as_ref().unwrap().send(Event { webhook, ack }).await.unwrap();
        told
    }

    /// Waits for the next try.
    async fn tried(&mut self) -> Event {
        timeout(Duration::from_secs(7200), self.destination.recv()).await.expect("no try came").unwrap()
    }

    /// Takes the try that comes without a wait.
    async fn tried_now(&mut self) -> Event {
        timeout(Duration::from_millis(1), self.destination.recv()).await.expect("no try came").unwrap()
    }

    /// Says that no try comes within `wait`.
    async fn no_try_within(&mut self, wait: Duration) {
        assert!(timeout(wait, self.destination.recv()).await.is_err(), "a try came");
    }

    /// Pauses the route: one webhook finds nobody.
    async fn pause(&mut self) -> (Id, Told) {
        let sent = self.send().await;
        self.tried().await.ack.settle(no_connection());
        sent
    }
}

fn abandoned(cause: Cause, symptom: Symptom, delay: Option<u64>) -> Outcome {
    let reason = Some(Reason::new("why").showing(symptom));
    Outcome::Abandoned { delay: delay.map(Duration::from_secs), cause, reason }
}

fn no_connection() -> Outcome {
    abandoned(Cause::Unreachable, Symptom::Connect, None)
}

fn timed_out() -> Outcome {
    abandoned(Cause::Unreachable, Symptom::Silence, None)
}

fn busy(retry_after: Option<u64>) -> Outcome {
    abandoned(Cause::Unreachable, Symptom::Status(503), retry_after)
}

fn refused(retry_after: Option<u64>) -> Outcome {
    abandoned(Cause::Failed, Symptom::Status(500), retry_after)
}

fn rejected() -> Outcome {
    Outcome::Failed { reason: Reason::new("why").showing(Symptom::Status(400)) }
}

/// Waits for what became of a webhook, not for ever.
async fn heard(told: Told) -> Result<Outcome, oneshot::error::RecvError> {
    timeout(Duration::from_secs(7200), told).await.expect("nothing was reported")
}

/// Lets everything that is ready run.
async fn settle_down() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_destination_that_is_not_waited_for_costs_its_tries_and_is_never_given_up() {
    let mut rig = Rig::wired(json!({ "wait_for_unreachable": false, "max_attempts": 2 }), true).await;
    let (_, told) = rig.send().await;
    rig.tried().await.ack.settle(no_connection());
    rig.tried().await.ack.settle(no_connection());
    assert_eq!(heard(told).await, Ok(no_connection()));
    let dead_letters = rig.dead_letters.as_mut().unwrap();
    assert!(timeout(Duration::from_millis(1), dead_letters.recv()).await.is_err(), "it was given up");
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_webhook_is_reported_as_delivered() {
    let mut rig = Rig::start(json!({})).await;
    let (id, told) = rig.send().await;
    let event = rig.tried().await;
    assert_eq!(event.webhook.id(), id);
    event.ack.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn a_refused_webhook_is_tried_three_times_and_given_back() {
    let mut rig = Rig::start(json!({})).await;
    let begun = Instant::now();
    let (_, told) = rig.send().await;
    for _ in 0..3 {
        rig.tried().await.ack.settle(refused(None));
    }
    assert_eq!(heard(told).await, Ok(refused(None)));
    assert!(begun.elapsed() <= Duration::from_secs(3), "the waits exceed 1 s and 2 s");
    assert!(begun.elapsed() > Duration::ZERO);
    assert_eq!(rig.cx.meter.counter(Metric::Retries, "stage", "").get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_backs_off_holds_up_no_other() {
    let mut rig = Rig::start(json!({"initial_delay": 60})).await;
    let (_, poison) = rig.send().await;
    rig.tried().await.ack.settle(refused(None));
    for _ in 0..10 {
        let (_, told) = rig.send().await;
        rig.tried().await.ack.settle(Outcome::Delivered);
        assert_eq!(heard(told).await, Ok(Outcome::Delivered));
    }
    drop(poison);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let mut rig = Rig::start(json!({})).await;
    let (_, _told) = rig.send().await;
    rig.tried().await.ack.settle(refused(Some(120)));
    let begun = Instant::now();
    rig.tried().await.ack.settle(busy(Some(300)));
    assert!(begun.elapsed() >= Duration::from_secs(120));
    rig.tried().await.ack.settle(Outcome::Delivered);
    assert!(begun.elapsed() >= Duration::from_secs(420));
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_is_reported_at_once() {
    let mut rig = Rig::start(json!({})).await;
    let (_, told) = rig.send().await;
    rig.tried().await.ack.settle(rejected());
    assert_eq!(heard(told).await, Ok(rejected()));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_goes_where_it_is_wired_to_and_its_confirmation_counts() {
    let mut rig = Rig::wired(json!({"max_attempts": 1}), true).await;
    for outcome in [rejected(), refused(None)] {
        let (id, mut told) = rig.send().await;
        rig.tried().await.ack.settle(outcome);
        let event = rig.dead_letters.as_mut().unwrap().recv().await.unwrap();
        assert_eq!(event.webhook.id(), id);
        assert!(told.try_recv().is_err(), "the dead letters have not confirmed");
        event.ack.settle(Outcome::Delivered);
        assert_eq!(heard(told).await, Ok(Outcome::Delivered));
    }
    assert_eq!(rig.cx.meter.counter(Metric::SetAside, "stage", "").get(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_webhook_never_goes_to_the_dead_letters() {
    let mut rig = Rig::wired(json!({"max_attempts": 1}), true).await;
    let (_, mut told) = rig.send().await;
    for _ in 0..200 {
        rig.tried().await.ack.settle(no_connection());
    }
    assert!(told.try_recv().is_err());
    rig.tried().await.ack.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_out() {
    let mut rig = Rig::start(json!({"max_in_flight": 2})).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(rig.send().await);
    }
    let (first, _second) = (rig.tried().await, rig.tried().await);
    rig.no_try_within(Duration::from_secs(60)).await;
    first.ack.settle(Outcome::Delivered);
    rig.tried().await.ack.settle(Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_makes_one_try_and_reports_it() {
    let mut rig = Rig::start(json!({"enabled": false})).await;
    for outcome in [refused(Some(9)), no_connection(), busy(Some(5)), timed_out()] {
        let (_, told) = rig.send().await;
        rig.tried().await.ack.settle(outcome.clone());
        assert_eq!(heard(told).await, Ok(outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_try_is_given_back_as_lost() {
    let mut rig = Rig::start(json!({})).await;
    let (_, told) = rig.send().await;
    drop(rig.tried().await);
    assert_eq!(heard(told).await, Ok(Outcome::lost()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_look_lets_another_look() {
    let mut rig = Rig::start(json!({})).await;
    let (first, _told) = rig.pause().await;
    let (_, second) = rig.send().await;
    drop(rig.tried().await);
    assert_eq!(heard(second).await, Ok(Outcome::lost()));
    assert_eq!(rig.tried().await.webhook.id(), first);
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_back_when_everything_ends_and_what_is_out_finishes() {
    let mut rig = Rig::start(json!({"initial_delay": 3600, "max_delay": 3600})).await;
    let (_, waits) = rig.send().await;
    rig.tried().await.ack.settle(refused(None));
    let (_, out) = rig.send().await;
    let event = rig.tried().await;
    settle_down().await;
    rig.stop.send(true).unwrap();
    assert!(matches!(
        heard(waits).await,
        Ok(Outcome::Abandoned { cause: Cause::Failed, delay: Some(Duration::ZERO), .. })
    ));
    event.ack.settle(Outcome::Delivered);
    assert_eq!(heard(out).await, Ok(Outcome::Delivered));
    assert!(rig.stage.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_its_source_has_ended() {
    let mut rig = Rig::start(json!({})).await;
    let (_, told) = rig.pause().await;
    rig.source = None;
    assert!(matches!(heard(told).await, Ok(Outcome::Abandoned { cause: Cause::Unreachable, .. })));
    assert!(rig.stage.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_ended_ends_it_and_loses_nothing() {
    let rig = Rig::start(json!({})).await;
    drop(rig.destination);
    let (ack, told) = Ack::waiter();
    rig.source.as_ref().unwrap().send(Event { webhook: webhook(&[], b""), ack }).await.unwrap();
    assert_eq!(heard(told).await, Ok(Outcome::lost()));
    assert!(rig.stage.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_what_is_out_shows_progress() {
    let mut rig = Rig::start(json!({"initial_delay": 3600, "max_delay": 3600})).await;
    let mut ledger = engine::ledger::Ledger::new(Window { events: 2, bytes: 1000 });
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (key, ack) = ledger.open(0, ());
        keys.push(key);
        rig.source.as_ref().unwrap().send(Event { webhook: webhook(&[], b""), ack }).await.unwrap();
    }
    rig.tried().await.ack.settle(refused(None));
    let _out = rig.tried().await;
    for _ in 0..3 {
        let mut progressed = Vec::new();
        while progressed.len() < 2 {
            progressed.extend(timeout(Duration::from_secs(6), ledger.settled()).await.unwrap().progressed);
        }
        progressed.sort();
        assert_eq!(progressed, keys);
    }
}

#[test]
fn settings_are_those_of_the_reference_and_more() {
    let known = json!({
        "enabled": true, "max_attempts": "5", "initial_delay": 0.5, "max_delay": 0, "backoff_multiplier": 3,
        "retryable_errors": ["ConnectionError"], "non_retryable_errors": ["PermissionError", "ValueError"],
        "transient": [418], "permanent": [409], "unreachable": [500],
    });
    let policy = parse::<Retry>(known).policy();
    assert_eq!(policy.permanent, [400, 403, 409, 422].into());
    assert_eq!((policy.max_attempts, policy.backoff.max), (5, Duration::from_millis(500)));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, at) in [
        (json!({"max_attempts": 0}), "/max_attempts"),
        (json!({"initial_delay": -1}), "/initial_delay"),
        (json!({"backoff_multiplier": 0}), "/backoff_multiplier"),
        (json!({"transient": [200]}), "/transient/0"),
        (json!({"transient": [409], "permanent": [410, 409]}), "/permanent/1"),
        (json!({"retryable_errors": ["NoSuchError"]}), "/retryable_errors/0"),
        (json!({"max_attempt": 1}), "/max_attempt"),
    ] {
        let faults = faults(&settings, Kind::stage::<Retry>());
        assert!(
            matches!(faults.as_slice(), [fault] if fault.starts_with(&format!("{at}:"))),
            "{settings}: {faults:?}"
        );
    }
}
