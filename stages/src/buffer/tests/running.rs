//! The whole driver over a store that does as it is told: what it answers, what it recovers, and what it says in the log.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use engine::ack::Outcome;
use engine::ledger::Window;
use engine::limits::Limits;
use engine::meter::Metric;
use engine::webhook::{Id, from_micros, to_micros};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::subscriber::DefaultGuard;

use super::store::Scripted;
use super::{Bench, WIDE, failed, next};

/// What is logged on this thread, as JSON.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    /// Takes what was said about the buffer as a whole, with how often it had happened.
    fn said(&self) -> Vec<(String, Option<u64>)> {
        let text = String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["target"] == "stages::buffer::driver");
        lines.map(|line| (line["message"].as_str().unwrap().to_owned(), line["times"].as_u64())).collect()
    }
}

fn said<const N: usize>(lines: [(&str, Option<u64>); N]) -> Vec<(String, Option<u64>)> {
    lines.map(|(message, times)| (message.to_owned(), times)).into()
}

fn counted(bench: &Bench, metric: Metric) -> u64 {
    bench.meter.counts().iter().filter(|(one, ..)| *one == metric).map(|(.., n)| n).sum()
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_a_session_holds_is_not_given_back_by_its_id() {
    let bench = Bench::start(Limits { max_deliveries: 1, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    assert_eq!(bench.supply.settle(event.webhook.id(), failed(None)).await, Ok(true));
    let figures = bench.figures().await;
    assert_eq!((figures.in_flight, figures.stats.dead_lettered), (1, 0));
    event.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.delivered == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_nobody_holds_is_given_back_by_its_id_and_counted() {
    let bench = Bench::start(Limits { max_deliveries: 2, ..Limits::default() });
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    let event = next(&mut session).await;
    let id: Id = event.webhook.id();
    event.ack.settle(failed(Some(Duration::from_secs(60))));
    bench.until(|f| f.in_flight == 0).await;
    assert_eq!(bench.supply.settle(id, failed(None)).await, Ok(true));
    bench.until(|f| f.stats.dead_lettered == 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_figures_say_since_when_the_oldest_webhook_waits() {
    let bench = Bench::start(Limits::default());
    let second = Duration::from_secs(1);
    let now = from_micros(to_micros(SystemTime::now()));
    assert_eq!(bench.figures().await.oldest, None);
    for age in [3, 2] {
        bench.post_received("a", now - age * second).await;
    }
    bench.until(|f| f.oldest == Some(now - 3 * second)).await;
    let mut session = bench.attach(Window { events: 1, bytes: 1 << 20 }).await;
    let event = next(&mut session).await;
    let figures = bench.figures().await;
    assert_eq!((figures.oldest, figures.sessions), (Some(now - 3 * second), 1));
    event.ack.settle(Outcome::Delivered);
    bench.until(|f| f.oldest == Some(now - 2 * second)).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_deferred_keeps_its_time_over_a_restart_also_when_the_store_cannot_be_read_at_first() {
    let store = Arc::<Scripted>::default();
    let bench = Bench::over(Limits::default(), Arc::clone(&store));
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    next(&mut session).await.ack.settle(failed(Some(Duration::from_secs(60))));
    bench.until(|f| f.in_flight == 0).await;
    while store.script().commits.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bench.task.abort();

    store.script().failing.insert("deferred");
    let again = Bench::over(Limits::default(), Arc::clone(&store));
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.script().failing.clear();
    let mut session = again.attach(WIDE).await;
    let event = next(&mut session).await;
    assert_eq!(event.webhook.transit.attempt, 2);
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(55) && waited < Duration::from_secs(65), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_said_to_be_full_once_until_it_was_well_below_its_bounds() {
    let (log, _guard) = Log::start();
    let bench = Bench::start(Limits { max_queue_size: 10, ..Limits::default() });
    let mut session = bench.attach(WIDE).await;
    for _ in 0..10 {
        assert_eq!(bench.post("a").await, Outcome::Delivered);
    }
    assert_eq!(log.said(), []);
    for _ in 0..2 {
        assert_ne!(bench.post("a").await, Outcome::Delivered);
    }
    next(&mut session).await.ack.settle(failed(Some(Duration::from_secs(600))));
    bench.until(|f| f.in_flight == 9).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(log.said(), said([("the queue is full", None)]));
    next(&mut session).await.ack.settle(Outcome::Delivered);
    bench.until(|f| f.stats.live == 9).await;
    assert_eq!(log.said(), said([("the queue has room again", Some(2))]));
    for _ in 0..2 {
        bench.post("a").await;
    }
    assert_eq!(log.said(), said([("the queue is full", None)]));
    assert_eq!(counted(&bench, Metric::Limits), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_said_once_with_what_it_means_and_when_it_is_well_again() {
    let (log, _guard) = Log::start();
    let store = Arc::<Scripted>::default();
    let bench = Bench::over(Limits::default(), Arc::clone(&store));
    bench.post("a").await;
    assert!(!bench.figures().await.failing);
    store.script().failing.extend(["append", "commit"]);
    for _ in 0..2 {
        assert_ne!(bench.post("b").await, Outcome::Delivered);
    }
    assert!(bench.figures().await.failing);
    assert_eq!(log.said(), said([("the store fails; senders get 503 until it is well", None)]));
    let mut session = bench.attach(WIDE).await;
    next(&mut session).await.ack.settle(Outcome::Delivered);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(log.said(), said([("the store fails; it is repeated until it is well", None)]));
    store.script().failing.clear();
    bench.until(|f| f.stats.delivered == 1).await;
    bench.post("c").await;
    assert!(!bench.figures().await.failing);
    assert_eq!(log.said(), [1, 2].map(|times| ("the store is well again".to_owned(), Some(times))));
    assert_eq!(counted(&bench, Metric::StoreErrors), 3);
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_does_not_balance_is_said_once_and_when_it_balances_again() {
    let (log, _guard) = Log::start();
    let store = Arc::<Scripted>::default();
    let bench = Bench::over(Limits::default(), Arc::clone(&store));
    bench.figures().await;
    assert_eq!(log.said(), []);
    store.script().shown = Some(|stats| stats.accepted += 1);
    for _ in 0..2 {
        bench.figures().await;
    }
    let unbalanced = "the audit does not balance: webhooks are not accounted for; keep the buffer as it is and report this";
    assert_eq!(log.said(), said([(unbalanced, None)]));
    store.script().shown = None;
    for _ in 0..2 {
        bench.figures().await;
    }
    assert_eq!(log.said(), said([("the audit balances again", None)]));
}

#[tokio::test(start_paused = true)]
async fn the_buffer_does_not_end_before_its_changes_are_durable() {
    let store = Arc::<Scripted>::default();
    let mut bench = Bench::over(Limits::default(), Arc::clone(&store));
    bench.post("a").await;
    let mut session = bench.attach(WIDE).await;
    store.script().failing.insert("commit");
    next(&mut session).await.ack.settle(Outcome::Delivered);
    drop((bench.out.take(), session));
    assert!(timeout(Duration::from_secs(10), &mut bench.task).await.is_err(), "one waits to be removed");
    store.script().failing.clear();
    timeout(Duration::from_secs(10), &mut bench.task).await.unwrap().unwrap().unwrap();
    assert_eq!(engine::store::Store::stats(&*store).delivered, 1);
}
