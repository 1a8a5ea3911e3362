//! What happens because time passes.

use std::time::Duration;

use engine::clock;
use engine::limits::Limits;
use engine::store::{Change, ParkCause, Tries};
use tokio::time::{Instant, advance};

use super::super::tracked::Place;
use super::WIDE;
use super::bare::Bare;

const SECOND: Duration = Duration::from_secs(1);

fn expired(sequence: u64, reason: &str, tries: Option<Tries>) -> Change {
    Change::Park { sequence, cause: ParkCause::Expired, reason: reason.to_owned(), tries }
}

#[tokio::test(start_paused = true)]
async fn a_flight_is_overdue_at_its_deadline_and_not_before() {
    let mut bare = Bare::new(Limits { ack_timeout_seconds: 30, ..Limits::default() });
    let _taker = bare.attach(WIDE, None);
    let stored = bare.append(&[0]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    advance(30 * SECOND - Duration::from_nanos(1)).await;
    bare.on_time();
    assert_eq!((bare.tracked.place(1), bare.deadlines.len()), (Some(Place::Flying), 1));
    advance(Duration::from_nanos(1)).await;
    bare.on_time();
    assert_eq!((bare.tracked.place(1), bare.deadlines.len()), (Some(Place::Due), 0));
    assert_eq!(bare.tracked.get(1).unwrap().tries, Tries { begun: 1, counted: 1 });
}

#[tokio::test(start_paused = true)]
async fn progress_puts_the_deadline_off() {
    let mut bare = Bare::new(Limits { ack_timeout_seconds: 30, ..Limits::default() });
    let mut taker = bare.attach(WIDE, None);
    let stored = bare.append(&[0]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    let event = taker.events.recv().await.unwrap();
    advance(10 * SECOND).await;
    event.ack.progress();
    bare.collect();
    advance(20 * SECOND).await;
    bare.on_time();
    let deadlines: Vec<Instant> = bare.deadlines.iter().map(|(at, ..)| *at).collect();
    assert_eq!(deadlines, [Instant::now() + 10 * SECOND]);
    assert_eq!(bare.tracked.place(1), Some(Place::Flying));
    advance(10 * SECOND).await;
    bare.on_time();
    assert_eq!(bare.tracked.place(1), Some(Place::Due));
}

#[tokio::test(start_paused = true)]
async fn progress_after_the_ttl_holds_nothing() {
    let mut bare = Bare::new(Limits { ttl_seconds: 20, ack_timeout_seconds: 30, ..Limits::default() });
    let mut taker = bare.attach(WIDE, None);
    let stored = bare.append(&[0]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    let event = taker.events.recv().await.unwrap();
    advance(20 * SECOND).await;
    event.ack.progress();
    bare.collect();
    advance(10 * SECOND).await;
    bare.on_time();
    let tries = Some(Tries { begun: 1, counted: 0 });
    assert_eq!(bare.changed().await, [expired(1, "older than its TTL while in flight", tries)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_and_what_is_fresh_expire_while_they_wait() {
    let mut bare = Bare::new(Limits { ttl_seconds: 60, ..Limits::default() });
    let stored = bare.append(&[59, 0, 59, 0]).await;
    for one in &stored[..2] {
        bare.tracked.fly(one.sequence, &one.webhook, Tries::default());
        bare.tracked.put(one.sequence, Place::Waiting(Instant::now() + SECOND));
    }
    bare.fresh.extend(stored[2..].iter().cloned());
    bare.on_time();
    assert_eq!(bare.changed().await, []);
    advance(SECOND).await;
    bare.on_time();
    let old = "older than its TTL";
    assert_eq!(bare.changed().await, [expired(1, old, Some(Tries::default())), expired(3, old, None)]);
    assert_eq!((bare.tracked.place(2), bare.fresh.len()), (Some(Place::Due), 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_fresh_is_parked_while_too_much_waits_for_its_commit() {
    let mut bare = Bare::new(Limits { ttl_seconds: 60, ..Limits::default() });
    let stored = bare.append(&[60]).await;
    bare.fresh.extend(stored);
    (0..16_385).for_each(|sequence| bare.changes.push(Change::Remove { sequence: sequence + 100 }));
    bare.on_time();
    assert_eq!((bare.fresh.len(), bare.next_wake()), (1, None));
}

#[tokio::test(start_paused = true)]
async fn no_timer_outlasts_the_ttl() {
    let bare = Bare::new(Limits { ttl_seconds: 60, ..Limits::default() });
    let (now, received) = (Instant::now(), clock::now() - 10 * SECOND);
    assert_eq!(bare.not_after_expiry(now + 49 * SECOND, received), now + 49 * SECOND);
    assert_eq!(bare.not_after_expiry(now + 51 * SECOND, received), now + 50 * SECOND);
    assert_eq!(bare.not_after_expiry(now + SECOND, received - 60 * SECOND), now);
}

#[tokio::test(start_paused = true)]
async fn the_next_wake_is_the_first_of_what_time_brings() {
    let year = 365 * 86_400;
    let mut bare = Bare::new(Limits { ttl_seconds: year, ack_timeout_seconds: 30, ..Limits::default() });
    let now = Instant::now();
    assert_eq!(bare.next_wake(), None);
    let stored = bare.append(&[10, 0]).await;
    bare.fresh.push_back(stored[0].clone());
    assert_eq!(bare.next_wake(), Some(now + Duration::from_secs(year - 10)), "the head of the queue expires");
    bare.stop.send_replace(true);
    assert_eq!(bare.next_wake(), None, "after the stop nothing is parked");
    bare.stop.send_replace(false);
    bare.tracked.fly(2, &stored[1].webhook, Tries::default());
    bare.tracked.put(2, Place::Waiting(now + 60 * SECOND));
    assert_eq!(bare.next_wake(), Some(now + 60 * SECOND), "a timer");
    let _taker = bare.attach(WIDE, None);
    bare.hand_out();
    assert_eq!(bare.next_wake(), Some(now + 30 * SECOND), "a deadline");
    bare.tracked.put(2, Place::Due);
    assert_eq!(bare.next_wake(), Some(now + SECOND), "one that is due may expire");
    bare.store.script().failing.insert("read");
    bare.read_fails().await;
    assert_eq!(bare.next_wake(), Some(now + Duration::from_millis(50)), "the store is read again");
    advance(Duration::from_millis(50)).await;
    assert_eq!(bare.next_wake(), Some(Instant::now() + SECOND), "it may be read now");
}
