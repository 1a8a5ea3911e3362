//! The driver over the memory store, on tokio's paused clock.

mod bare;
mod changes;
mod handing;
mod intake;
mod running;
mod sessions;
mod settling;
mod store;
mod timing;
mod tracked;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engine::ack::{Ack, Cause, Outcome, Reason};
use engine::kind::{Context, Stage, Wiring};
use engine::ledger::Window;
use engine::limits::{Limits, Overflow};
use engine::meter::{Edge, Meter};
use engine::port::{Out, Verified, edge};
use engine::store::{ParkCause, Store};
use engine::supply::{Figures, Subscription, Supply, supply};
use engine::webhook::{Event, Head, Id, Webhook, from_micros, to_micros};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Buffer;
use super::memory::Memory;

const WIDE: Window = Window { events: 10, bytes: 1 << 20 };

/// A running buffer.
struct Bench {
    out: Option<Out<Verified>>,
    supply: Supply,
    meter: Meter,
    task: tokio::task::JoinHandle<Result<(), engine::kind::StageError>>,
    _stop: watch::Sender<bool>,
}

impl Bench {
    fn start(limits: Limits) -> Self {
        Self::over(limits, Memory::default())
    }

    fn over(limits: Limits, store: impl Store) -> Self {
        let (out, input) = edge(64, Edge::new(&Meter::default(), "buffer"));
        let (supply, demand) = supply();
        let (stop, stopped) = watch::channel(false);
        let cx = Context::new("buffer", stopped);
        let meter = cx.meter.clone();
        let buffer = Buffer { channel: "c".to_owned(), limits, store, cx };
        let wiring = Wiring { input: Some(input), demand: Some(demand), ..Wiring::default() };
        let task = tokio::spawn(Box::new(buffer).run(wiring));
        Self { out: Some(out), supply, meter, task, _stop: stop }
    }

    async fn post(&self, body: &'static str) -> Outcome {
        self.post_received(body, SystemTime::now()).await
    }

    async fn post_received(&self, body: &'static str, received: SystemTime) -> Outcome {
        let (ack, answer) = Ack::waiter();
        let event = Event { webhook: webhook(body, received), ack };
        self.out.as_ref().unwrap().send(event).await.unwrap();
        answer.await.unwrap()
    }

    async fn attach(&self, window: Window) -> Subscription {
        self.supply.attach("s".to_owned(), window, 100).await.unwrap()
    }

    async fn figures(&self) -> Figures {
        self.supply.figures().await.unwrap()
    }

    /// Waits until the figures are as wanted, and checks that the audit balances.
    async fn until(&self, wanted: impl Fn(&Figures) -> bool) -> Figures {
        let found = timeout(Duration::from_secs(5), async {
            loop {
                let figures = self.figures().await;
                assert_eq!(figures.stats.imbalance(), 0, "{figures:?}");
                if wanted(&figures) {
                    return figures;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        match found.await {
            Ok(figures) => figures,
            Err(_) => panic!("still {:?}", self.figures().await),
        }
    }
}

fn webhook(body: &'static str, received: SystemTime) -> Webhook {
    let head = Head {
        id: Id::new(),
        webhook: "w".into(),
        received: from_micros(to_micros(received)),
        source: [127, 0, 0, 1].into(),
        method: "POST".into(),
        target: "/webhook/w".into(),
        headers: engine::headers::Headers::default(),
    };
    Webhook::new(head, Bytes::from_static(body.as_bytes()))
}

async fn next(session: &mut Subscription) -> Event {
    timeout(Duration::from_secs(300), session.events.recv())
        .await
        .expect("a webhook in time")
        .expect("a session")
}

fn failed(delay: Option<Duration>) -> Outcome {
    Outcome::Abandoned { delay, cause: Cause::Failed, reason: Some(Reason::new("500")) }
}

#[tokio::test(start_paused = true)]
async fn a_delivered_webhook_is_removed() {
    let bench = Bench::start(Limits::default());
    assert_eq!(bench.post("a").await, Outcome::Delivered);
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    assert_eq!((event.webhook.transit.sequence, event.webhook.transit.attempt), (1, 1));
    assert_eq!(bench.figures().await.in_flight, 1);
    event.ack.settle(Outcome::Delivered);
    let figures = bench.until(|f| f.stats.delivered == 1).await;
    assert_eq!((figures.stats.live, figures.in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_returns_its_webhooks_at_once() {
    let bench = Bench::start(Limits::default());
    bench.post("a").await;
    let mut first = bench.attach(WIDE).await;
    let id = next(&mut first).await.webhook.id();
    drop(first);
    let before = Instant::now();
    let mut second = bench.attach(WIDE).await;
    let event = next(&mut second).await;
    assert_eq!((event.webhook.id(), event.webhook.transit.attempt), (id, 2));
    assert!(before.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_returned_webhook_waits_for_its_delay() {
    let bench = Bench::start(Limits::default());
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    next(&mut session).await.ack.settle(failed(Some(Duration::from_secs(2))));
    let before = Instant::now();
    let event = next(&mut session).await;
    assert!(before.elapsed() >= Duration::from_millis(1_990), "{:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_secs(3));
    assert_eq!(event.webhook.transit.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_webhook_is_in_the_dead_letters_with_its_reason() {
    let bench = Bench::start(Limits::default());
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    next(&mut session).await.ack.settle(Outcome::Failed { reason: Reason::new("422") });
    bench.until(|f| f.stats.dead_lettered == 1).await;
    let parked = bench.supply.parked(0, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!((parked[0].cause, parked[0].reason.as_str()), (ParkCause::DeadLettered, "rejected: 422"));
}

#[tokio::test(start_paused = true)]
async fn a_poison_webhook_is_parked_and_others_pass() {
    let bench = Bench::start(Limits { max_deliveries: 3, ..Limits::default() });
    bench.post("poison").await;
    for body in ["a", "b", "c"] {
        bench.post(body).await;
    }
    let mut session = bench.attach(WIDE).await;
    while bench.figures().await.stats.dead_lettered == 0 {
        let Ok(Some(event)) = timeout(Duration::from_millis(50), session.events.recv()).await else {
            continue;
        };
        let poison = event.webhook.body == "poison";
        event.ack.settle(if poison { failed(None) } else { Outcome::Delivered });
    }
    let figures = bench.until(|f| f.stats.delivered == 3).await;
    assert_eq!((figures.stats.live, figures.stats.parked), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_destination_parks_nothing() {
    let bench = Bench::start(Limits { max_deliveries: 2, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    for _ in 0..50 {
        let delay = Some(Duration::from_millis(10));
        next(&mut session).await.ack.settle(Outcome::Abandoned {
            delay,
            cause: Cause::Unreachable,
            reason: None,
        });
    }
    next(&mut session).await.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.delivered == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_overtaken_and_its_late_acknowledgement_counts() {
    let bench = Bench::start(Limits { ack_timeout_seconds: 1, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let first = next(&mut session).await;
    let second = next(&mut session).await;
    assert_eq!((second.webhook.id(), second.webhook.transit.attempt), (first.webhook.id(), 2));
    first.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.delivered == 1).await;
    drop(second);
    assert!(timeout(Duration::from_secs(10), session.events.recv()).await.is_err(), "no third delivery");
}

#[tokio::test(start_paused = true)]
async fn progress_holds_the_deadline() {
    let bench = Bench::start(Limits { ack_timeout_seconds: 1, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    for _ in 0..20 {
        event.ack.progress();
        assert!(
            timeout(Duration::from_millis(500), session.events.recv()).await.is_err(),
            "not delivered again"
        );
    }
    event.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.delivered == 1).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_out_than_the_window_allows() {
    let bench = Bench::start(Limits::default());
    for _ in 0..20 {
        bench.post("a").await;
    }
    let mut session = bench.attach(Window { events: 3, bytes: 1 << 20 }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut session).await);
    }
    assert!(timeout(Duration::from_secs(1), session.events.recv()).await.is_err());
    held.pop().unwrap().ack.settle(Outcome::Delivered);
    next(&mut session).await.ack.settle(Outcome::Delivered);
    session.set_window(Window { events: 0, bytes: 0 });
    held.into_iter().for_each(|event| event.ack.settle(Outcome::Delivered));
    while let Ok(Some(event)) = timeout(Duration::from_secs(1), session.events.recv()).await {
        event.ack.settle(Outcome::Delivered);
    }
    assert!(bench.figures().await.stats.live >= 15, "a window of 0 takes nothing more");
}

#[tokio::test(start_paused = true)]
async fn the_session_with_the_most_room_gets_the_next_one() {
    let bench = Bench::start(Limits::default());
    let mut narrow = bench.attach(Window { events: 1, bytes: 1 << 20 }).await;
    let mut wide = bench.attach(Window { events: 9, bytes: 1 << 20 }).await;
    for _ in 0..10 {
        bench.post("a").await;
    }
    let mut counts = [0, 0];
    let mut held = Vec::new();
    for (session, count) in [&mut narrow, &mut wide].into_iter().zip(&mut counts) {
        while let Ok(Some(event)) = timeout(Duration::from_millis(100), session.events.recv()).await {
            held.push(event);
            *count += 1;
        }
    }
    assert_eq!(counts, [1, 9]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_turns_senders_away_until_there_is_room() {
    let bench = Bench::start(Limits { max_queue_size: 2, ..Limits::default() });
    assert_eq!(bench.post("a").await, Outcome::Delivered);
    assert_eq!(bench.post("b").await, Outcome::Delivered);
    let Outcome::Refused { answer } = bench.post("c").await else { panic!("room for a third") };
    assert_eq!((answer.status, answer.retry_after.is_some()), (503, true));
    let mut session = bench.attach(WIDE).await;
    next(&mut session).await.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.delivered == 1).await;
    assert_eq!(bench.post("d").await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_into_the_dead_letters_when_told_so() {
    let bench =
        Bench::start(Limits { max_queue_size: 2, overflow: Overflow::DropOldest, ..Limits::default() });
    for body in ["a", "b", "c"] {
        assert_eq!(bench.post(body).await, Outcome::Delivered);
    }
    bench.until(|f| f.stats.dropped == 1 && f.stats.live == 2).await;
    let parked = bench.supply.parked(0, 10).await.unwrap();
    assert_eq!(parked[0].stored.webhook.body, "a");
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_its_ttl_is_in_the_dead_letters() {
    let bench = Bench::start(Limits { ttl_seconds: 60, ..Limits::default() });
    bench.post_received("old", SystemTime::now() - Duration::from_secs(61)).await;
    bench.post("new").await;
    let figures = bench.until(|f| f.stats.expired == 1).await;
    assert_eq!(figures.stats.live, 1);
    let parked = bench.supply.parked(0, 10).await.unwrap();
    let parked: Vec<_> = parked.iter().map(|one| (&one.stored.webhook.body[..], one.cause)).collect();
    assert_eq!(parked, [(&b"old"[..], ParkCause::Expired)]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_settled_by_its_id_whoever_holds_it() {
    let bench = Bench::start(Limits::default());
    bench.post("a").await;
    let mut first = bench.attach(WIDE).await;
    let id = next(&mut first).await.webhook.id();
    drop(first);
    bench.until(|f| f.in_flight == 0).await;
    assert_eq!(bench.supply.settle(id, Outcome::Delivered).await, Ok(true));
    assert_eq!(bench.supply.settle(Id::new(), Outcome::Delivered).await, Ok(false));
    bench.until(|f| f.stats.delivered == 1).await;
    let mut second = bench.attach(WIDE).await;
    assert!(timeout(Duration::from_secs(1), second.events.recv()).await.is_err(), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_before_it_was_handed_out_is_settled_instead() {
    let bench = Bench::start(Limits::default());
    let (first, second) = (webhook("a", SystemTime::now()), webhook("b", SystemTime::now()));
    let (confirmed, id) = (first.id(), second.id());
    for webhook in [first, second] {
        let (ack, answer) = Ack::waiter();
        bench.out.as_ref().unwrap().send(Event { webhook, ack }).await.unwrap();
        answer.await.unwrap();
    }
    assert_eq!(bench.supply.settle(confirmed, Outcome::Delivered).await, Ok(false), "nobody holds it");
    assert_eq!(bench.supply.settle(id, Outcome::lost()).await, Ok(false), "only a delivery counts");
    let mut session = bench.attach(WIDE).await;
    let held = next(&mut session).await;
    assert_eq!(held.webhook.id(), id);
    bench.until(|f| f.stats.delivered == 1).await;
    assert!(timeout(Duration::from_secs(1), session.events.recv()).await.is_err(), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_late_acknowledgement_takes_a_webhook_out_of_the_dead_letters() {
    let bench = Bench::start(Limits { max_deliveries: 1, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    let id = event.webhook.id();
    event.ack.settle(failed(None));
    bench.until(|f| f.stats.dead_lettered == 1).await;
    assert_eq!(bench.supply.settle(id, Outcome::Delivered).await, Ok(true));
    bench.until(|f| f.stats.delivered == 1 && f.stats.dead_lettered == 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_buffer_ends_when_nothing_can_arrive_and_nobody_holds_anything() {
    let mut bench = Bench::start(Limits::default());
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    drop(bench.out.take());
    assert!(timeout(Duration::from_millis(100), &mut bench.task).await.is_err(), "a session still holds one");
    event.ack.settle(Outcome::Delivered);
    drop(session);
    bench.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_store_is_shared_by_what_asks_for_it() {
    let resources = engine::kind::Resources::default();
    let make = || Ok::<_, ()>(Memory::default());
    let (a, b) = (resources.get_or_make("x", make).unwrap(), resources.get_or_make("x", make).unwrap());
    assert!(Arc::ptr_eq(&a, &b));
}

#[tokio::test]
async fn what_expires_behind_a_redelivery_that_finds_no_room_is_parked_in_time() {
    let bench = Bench::start(Limits { ttl_seconds: 60, ..Limits::default() });
    let mut first = bench.attach(Window { events: 1, bytes: 15 }).await;
    assert_eq!(bench.post("a").await, Outcome::Delivered);
    let held = next(&mut first).await;
    let mut second = bench.attach(Window { events: 2, bytes: 15 }).await;
    assert_eq!(bench.post("b").await, Outcome::Delivered);
    let kept = next(&mut second).await;
    let old = SystemTime::now() - Duration::from_secs(59);
    assert_eq!(bench.post_received("c", old).await, Outcome::Delivered);
    // The redelivery of the first weighs more than the second session has room for.
    drop((first, held));
    let figures = bench.until(|figures| figures.stats.expired == 1).await;
    assert_eq!((figures.stats.live, figures.in_flight), (2, 1));
    drop(kept);
}
