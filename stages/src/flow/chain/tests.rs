//! A chain between its edges, on a clock that the tests own.

use engine::ack::{Ack, Cause, Outcome, Reason};
use engine::kind::Kind;
use engine::meter::{Edge, Metric};
use engine::port::{Exhausted, In, Out, Verified, edge};
use engine::webhook::{Event, Webhook};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::testing::{context, faults, parse, webhook};

/// A chain at work, with all of its ends in the test's hands.
struct Rig {
    source: Out<Verified>,
    links: Vec<In<Verified>>,
    dead_letters: In<Exhausted>,
    stop: watch::Sender<bool>,
    cx: Context,
    stage: JoinHandle<Result<(), StageError>>,
}

/// What a source waits for.
type Told = oneshot::Receiver<Outcome>;

impl Rig {
    fn start(required: &[bool], settings: &Value) -> Self {
        Self::wired(required, settings, false)
    }

    fn wired(required: &[bool], settings: &Value, dead_letters: bool) -> Self {
        let (cx, stop) = context();
        let mut settings = settings.clone();
        settings["links"] =
            required.iter().map(|required| json!({ "name": "log", "required": required })).collect();
        let (source, input) = edge(256, Edge::new(&cx.meter, "in"));
        let join = |_| edge(256, Edge::new(&cx.meter, "link"));
        let (outs, links): (Vec<_>, Vec<_>) = required.iter().map(join).unzip();
        let (exhausted, dead) = edge(256, Edge::new(&cx.meter, "dead"));
        let wiring = Wiring {
            input: Some(input),
            links: outs,
            exhausted: Some(exhausted).filter(|_| dead_letters),
            ..Wiring::default()
        };
        let settings: Chain = parse(settings);
        let stage = tokio::spawn(Box::new(Chaining { settings, cx: cx.clone() }).run(wiring));
        Self { source, links, dead_letters: dead, stop, cx, stage }
    }

    /// Sends a webhook through; what becomes of it arrives at the receiver.
    async fn send(&self) -> Told {
        self.send_this(webhook(&[], b"{}")).await
    }

    async fn send_this(&self, webhook: Webhook) -> Told {
        let (ack, told) = Ack::waiter();
        self.source.send(Event { webhook, ack }).await.unwrap();
        told
    }

    /// Waits for what comes out of a link.
    async fn called(&mut self, link: usize) -> Ack {
        let event = timeout(Duration::from_secs(1), self.links[link - 1].recv()).await;
        event.unwrap_or_else(|_| panic!("link {link} was not called")).unwrap().ack
    }

    /// Says that nothing comes out of a link.
    async fn not_called(&mut self, link: usize) {
        let event = timeout(Duration::from_millis(1), self.links[link - 1].recv()).await;
        assert!(event.is_err(), "link {link} was called");
    }

    fn best_effort_failures(&self, link: &str) -> u64 {
        self.cx.meter.counter(Metric::BestEffort, "stage", link).get()
    }
}

fn refused() -> Outcome {
    Outcome::Abandoned { delay: None, cause: Cause::Failed, reason: Some(Reason::new("busy")) }
}

fn rejected() -> Outcome {
    Outcome::Failed { reason: Reason::new("no such table") }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: Reason::new(reason) }
}

fn given_back(cause: Cause, reason: &str) -> Outcome {
    Outcome::Abandoned { delay: None, cause, reason: Some(Reason::new(reason)) }
}

/// Waits for what became of a webhook, not for ever.
async fn heard(told: Told) -> Outcome {
    timeout(Duration::from_secs(7200), told).await.expect("nothing was reported").unwrap()
}

#[tokio::test(start_paused = true)]
async fn links_are_called_in_order_and_one_report_follows() {
    let mut rig = Rig::start(&[true, true], &json!({}));
    let mut told = rig.send().await;
    let first = rig.called(1).await;
    rig.not_called(2).await;
    first.settle(Outcome::Delivered);
    let second = rig.called(2).await;
    assert!(told.try_recv().is_err(), "link 2 has not confirmed");
    second.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn parallel_links_are_called_at_once() {
    let mut rig = Rig::start(&[true, true], &json!({ "execution": "parallel" }));
    let told = rig.send().await;
    let (first, second) = (rig.called(1).await, rig.called(2).await);
    second.settle(Outcome::Delivered);
    first.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_comes_again_is_sent_only_to_links_that_had_not_confirmed() {
    let mut rig = Rig::start(&[true, true], &json!({}));
    let webhook = webhook(&[], b"{}");
    let told = rig.send_this(webhook.clone()).await;
    rig.called(1).await.settle(Outcome::Delivered);
    rig.called(2).await.settle(refused());
    assert_eq!(heard(told).await, given_back(Cause::Failed, "link 2 (log): busy"));
    let told = rig.send_this(webhook).await;
    rig.called(2).await.settle(Outcome::Delivered);
    rig.not_called(1).await;
    assert_eq!(heard(told).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_best_effort_link_that_fails_is_counted_and_holds_nothing_up() {
    let mut rig = Rig::start(&[false, true], &json!({ "continue_on_error": false }));
    let told = rig.send().await;
    rig.called(1).await.settle(rejected());
    rig.called(2).await.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Outcome::Delivered);
    assert_eq!(rig.best_effort_failures("link 1 (log)"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_required_link_that_rejects_parks_with_its_name_after_the_others_ran() {
    let mut rig = Rig::start(&[true, true], &json!({}));
    let told = rig.send().await;
    rig.called(1).await.settle(rejected());
    rig.called(2).await.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, failed("link 1 (log): no such table"));
}

#[tokio::test(start_paused = true)]
async fn later_links_wait_for_the_next_delivery_when_told_so() {
    let mut rig = Rig::start(&[true, true], &json!({ "continue_on_error": false }));
    let told = rig.send().await;
    rig.called(1).await.settle(refused());
    assert_eq!(heard(told).await, given_back(Cause::Failed, "link 1 (log): busy"));
    rig.not_called(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_parallel_link_that_takes_too_long_gives_back_and_its_late_confirmation_counts() {
    let mut rig = Rig::start(&[true, true], &json!({ "execution": "parallel", "timeout": 2 }));
    let webhook = webhook(&[], b"{}");
    let told = rig.send_this(webhook.clone()).await;
    rig.called(1).await.settle(Outcome::Delivered);
    let slow = rig.called(2).await;
    let reason = "link 2 (log): no confirmation within 2 s";
    assert_eq!(heard(told).await, given_back(Cause::Unreachable, reason));
    slow.settle(Outcome::Delivered);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(heard(rig.send_this(webhook).await).await, Outcome::Delivered);
    rig.not_called(1).await;
    rig.not_called(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_still_out_is_waited_for_and_not_called_twice() {
    let mut rig = Rig::start(&[true], &json!({ "execution": "parallel", "timeout": 2 }));
    let webhook = webhook(&[], b"{}");
    let told = rig.send_this(webhook.clone()).await;
    let slow = rig.called(1).await;
    heard(told).await;
    let told = rig.send_this(webhook).await;
    rig.not_called(1).await;
    slow.settle(Outcome::Delivered);
    assert_eq!(heard(told).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_best_effort_link_that_takes_too_long_is_counted_and_the_webhook_is_delivered() {
    let mut rig = Rig::start(&[true, false], &json!({ "execution": "parallel", "timeout": 2 }));
    let told = rig.send().await;
    rig.called(1).await.settle(Outcome::Delivered);
    let _slow = rig.called(2).await;
    assert_eq!(heard(told).await, Outcome::Delivered);
    assert_eq!(rig.best_effort_failures("link 2 (log)"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_best_effort_link_that_never_reports_stops_nobody() {
    let settings = json!({ "execution": "parallel", "timeout": 2, "max_in_flight": 1 });
    let mut rig = Rig::start(&[true, false], &settings);
    let told = rig.send().await;
    rig.called(1).await.settle(Outcome::Delivered);
    let _stuck = rig.called(2).await;
    assert_eq!(heard(told).await, Outcome::Delivered);
    let told = rig.send().await;
    rig.called(1).await.settle(Outcome::Delivered);
    rig.not_called(2).await;
    assert_eq!(heard(told).await, Outcome::Delivered);
    assert_eq!(rig.best_effort_failures("link 2 (log)"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_delivered_once_its_destination_confirmed() {
    let mut rig = Rig::wired(&[true], &json!({}), true);
    for given_up in [rejected(), refused()] {
        let told = rig.send().await;
        rig.called(1).await.settle(given_up);
        rig.dead_letters.recv().await.unwrap().ack.settle(Outcome::Delivered);
        assert_eq!(heard(told).await, Outcome::Delivered);
    }
    assert_eq!(rig.cx.meter.counter(Metric::SetAside, "stage", "").get(), 2);
    let told = rig.send().await;
    rig.called(1).await.settle(given_back(Cause::Unreachable, "no connection"));
    assert_eq!(heard(told).await, given_back(Cause::Unreachable, "link 1 (log): no connection"));
}

#[tokio::test(start_paused = true)]
async fn no_more_webhooks_are_in_progress_than_the_window_allows() {
    let mut rig = Rig::start(&[true], &json!({ "max_in_flight": 1 }));
    let (first, second) = (rig.send().await, rig.send().await);
    let out = rig.called(1).await;
    rig.not_called(1).await;
    out.settle(Outcome::Delivered);
    assert_eq!(heard(first).await, Outcome::Delivered);
    rig.called(1).await.settle(Outcome::Delivered);
    assert_eq!(heard(second).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_waits_for_what_is_out_and_returns_the_rest() {
    let mut rig = Rig::start(&[true], &json!({ "max_in_flight": 1 }));
    let (first, second) = (rig.send().await, rig.send().await);
    let out = rig.called(1).await;
    rig.stop.send_replace(true);
    assert_eq!(heard(second).await, Outcome::lost());
    out.settle(Outcome::Delivered);
    assert_eq!(heard(first).await, Outcome::Delivered);
    rig.stage.await.unwrap().unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let kind = Kind::stage::<Chain>();
    assert_eq!(faults(&json!({ "links": [] }), kind), ["/: a chain has 1 to 20 links"]);
    let timeout = json!({ "links": [{ "name": "log" }], "timeout": 0 });
    assert_eq!(faults(&timeout, kind), ["/timeout: expected seconds above 0, 86400 at most"]);
}
