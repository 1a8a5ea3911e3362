//! New webhooks on their way into the store, and reads from a store that fails.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::ack::{Ack, Outcome};
use engine::limits::{Limits, Overflow};
use engine::store::{Change, Limit, Store, StoreError};
use engine::webhook::Event;
use tokio::sync::oneshot;
use tokio::time::advance;

use super::super::intake::{Intake, Taken};
use super::super::reading::Reading;
use super::super::taps::Taps;
use super::store::Scripted;
use super::webhook;

type Answer = oneshot::Receiver<Outcome>;

fn intake() -> (Intake<Scripted>, Arc<Scripted>) {
    let store = Arc::<Scripted>::default();
    (Intake::new(Arc::clone(&store), Taps::new("c".into(), Duration::from_secs(60))), store)
}

fn batch(len: usize) -> (Vec<Event>, Vec<Answer>) {
    let event = |_| {
        let (ack, answer) = Ack::waiter();
        (Event { webhook: webhook("{}", SystemTime::UNIX_EPOCH), ack }, answer)
    };
    (0..len).map(event).unzip()
}

/// Takes `len` webhooks and returns how many met the bounds.
fn take(intake: &mut Intake<Scripted>, len: usize, limits: &Limits) -> usize {
    intake.take(&mut batch(len).0, limits)
}

fn weight() -> u64 {
    webhook("{}", SystemTime::UNIX_EPOCH).weight() as u64
}

/// Queues that have room for three webhooks.
fn narrow(overflow: Overflow) -> [Limits; 2] {
    [
        Limits { max_queue_size: 3, overflow, ..Limits::default() },
        Limits { max_queue_bytes: 3 * weight(), overflow, ..Limits::default() },
    ]
}

#[tokio::test]
async fn what_is_on_its_way_into_the_store_counts_against_the_bounds() {
    for limits in narrow(Overflow::Reject) {
        let (mut intake, store) = intake();
        store.script().stands_still = true;
        assert_eq!([2, 2, 1].map(|len| take(&mut intake, len, &limits)), [0, 1, 1]);
    }
}

#[tokio::test]
async fn what_has_left_the_queue_gives_its_room_back() {
    for limits in narrow(Overflow::Reject) {
        let (mut intake, store) = intake();
        for sequence in [1, 4] {
            assert_eq!(take(&mut intake, 3, &limits), 0);
            assert!(matches!(intake.taken().await, Taken::Stored(0)));
            let gone = (sequence..sequence + 3).map(|sequence| Change::Remove { sequence });
            store.commit(gone.collect()).await.unwrap();
        }
        store.script().failing.insert("append");
        assert_eq!(take(&mut intake, 3, &limits), 0);
        assert!(matches!(intake.taken().await, Taken::Failed(StoreError::Medium { what: "append", .. })));
        assert_eq!(take(&mut intake, 3, &limits), 0, "what was not stored takes no room");
    }
}

#[tokio::test]
async fn under_drop_oldest_as_many_are_displaced_as_come_too_much() {
    for limits in narrow(Overflow::DropOldest) {
        let (mut intake, _store) = intake();
        assert_eq!([3, 2, 3].map(|len| take(&mut intake, len, &limits)), [0, 2, 3]);
        assert!(matches!(intake.taken().await, Taken::Stored(5)), "all that ended are told as one");
    }
}

#[tokio::test]
async fn a_batch_that_is_turned_away_whole_commits_nothing() {
    let (mut intake, _store) = intake();
    let (mut events, mut answers) = batch(1);
    assert_eq!(intake.take(&mut events, &Limits { max_queue_size: 0, ..Limits::default() }), 1);
    let Ok(Outcome::Refused { answer }) = answers[0].try_recv() else { panic!("accepted") };
    assert_eq!((answer.status, answer.detail), (503, "the queue is full"));
    assert!(intake.is_idle());
}

#[tokio::test]
async fn a_sender_is_asked_to_wait_when_its_webhook_cannot_be_stored() {
    let (mut intake, store) = intake();
    store.script().failing.insert("append");
    let (mut events, mut answers) = batch(1);
    intake.take(&mut events, &Limits::default());
    assert!(!intake.is_idle());
    assert!(matches!(intake.taken().await, Taken::Failed(_)));
    let Ok(Outcome::Refused { answer }) = answers[0].try_recv() else { panic!("accepted") };
    let told = (answer.status, answer.detail, answer.retry_after);
    assert_eq!(told, (503, "the webhook cannot be stored now", Some(Duration::from_secs(5))));
}

#[tokio::test]
async fn sixty_four_commits_are_in_flight_at_most() {
    let (mut intake, store) = intake();
    store.script().stands_still = true;
    (0..63).for_each(|_| assert_eq!(take(&mut intake, 1, &Limits::default()), 0));
    assert!(intake.has_room());
    take(&mut intake, 1, &Limits::default());
    assert!(!intake.has_room());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_is_read_again_after_a_pause_that_grows() {
    let store = Arc::<Scripted>::default();
    let mut reading = Reading::new(Arc::clone(&store));
    store.script().failing.insert("read");
    for pause in [50, 100] {
        reading.fresh(0, Limit { events: 1, bytes: 1 });
        assert!(!reading.is_idle(), "one read at a time");
        assert!(reading.done().await.is_err());
        advance(Duration::from_millis(pause - 1)).await;
        assert!(!reading.is_idle(), "it pauses");
        advance(Duration::from_millis(1)).await;
        assert!(reading.is_idle());
    }
    store.script().failing.clear();
    reading.fresh(0, Limit { events: 1, bytes: 1 });
    assert!(reading.done().await.is_ok());
    assert_eq!((reading.is_idle(), reading.not_before()), (true, None));
}
