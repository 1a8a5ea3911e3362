//! What sessions get next, and what is read for them.

use std::time::Duration;

use engine::clock;
use engine::ledger::Window;
use engine::limits::{Limits, Overflow};
use engine::store::{Change, Limit, Loaded, ParkCause, Stored, Tries};
use engine::supply::{Carries, Unfit};
use tokio::time::{Instant, advance};

use super::super::reading::Read;
use super::super::tracked::Place;
use super::bare::Bare;
use super::{WIDE, webhook};

const SECOND: Duration = Duration::from_secs(1);

fn nothing() -> Carries {
    Carries::new(|_| Err(Unfit("too large".into())))
}

fn park(sequence: u64, cause: ParkCause, reason: &str, begun: Option<u32>) -> Change {
    let tries = begun.map(|begun| Tries { begun, counted: 0 });
    Change::Park { sequence, cause, reason: reason.to_owned(), tries }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_handed_out_with_its_transit_and_a_deadline() {
    let mut bare = Bare::new(Limits { ttl_seconds: 60, ack_timeout_seconds: 30, ..Limits::default() });
    let [stored] = <[Stored; 1]>::try_from(bare.append(&[5]).await).unwrap();
    let mut taker = bare.attach(WIDE, None);
    bare.fresh.push_back(stored);
    bare.hand_out();
    let transit = taker.events.recv().await.unwrap().webhook.transit;
    assert_eq!((&*transit.channel, transit.sequence, transit.attempt), ("c", 1, 1));
    assert_eq!(transit.expires, Some(clock::now() + 55 * SECOND));
    let deadlines: Vec<Instant> = bare.deadlines.iter().map(|(at, ..)| *at).collect();
    assert_eq!((deadlines, bare.tracked.flying()), (vec![Instant::now() + 30 * SECOND], 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_handed_out_after_the_stop_or_while_too_much_waits_for_its_commit() {
    let mut bare = Bare::new(Limits::default());
    let stored = bare.append(&[0]).await;
    let mut taker = bare.attach(WIDE, None);
    bare.fresh.extend(stored);
    (0..16_385).for_each(|sequence| bare.changes.push(Change::Remove { sequence: sequence + 100 }));
    bare.hand_out();
    assert!(taker.events.try_recv().is_err(), "too much waits");
    while !bare.changes.is_empty() {
        bare.changes.committed().await.unwrap();
    }
    bare.stop.send_replace(true);
    bare.hand_out();
    assert!(taker.events.try_recv().is_err(), "stopped");
    bare.stop.send_replace(false);
    bare.hand_out();
    assert!(taker.events.try_recv().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_expired_goes_into_the_dead_letters_whether_or_not_there_is_room() {
    let mut bare = Bare::new(Limits { ttl_seconds: 60, ..Limits::default() });
    let stored = bare.append(&[60, 59]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    assert_eq!(bare.changed().await, [park(1, ParkCause::Expired, "older than its TTL", None)]);
    assert_eq!(bare.fresh.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_that_was_settled_while_it_was_read_is_passed_over() {
    let mut bare = Bare::new(Limits::default());
    let stored = bare.append(&[0, 0]).await;
    bare.tracked.fly(2, &stored[1].webhook, Tries { begun: 1, counted: 0 });
    bare.tracked.put(2, Place::Due);
    bare.again.extend(stored);
    bare.hand_out();
    assert_eq!(bare.again.len(), 1, "the first is gone, the second waits for room");
    let mut taker = bare.attach(WIDE, None);
    bare.hand_out();
    assert_eq!(taker.events.try_recv().unwrap().webhook.transit.sequence, 2);
    assert!(taker.events.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_finds_room_only_where_it_cannot_be_carried_is_offered_again_soon() {
    let mut bare = Bare::new(Limits::default());
    let stored = bare.append(&[0, 0]).await;
    let _full = bare.attach(Window { events: 1, bytes: 1 << 20 }, None);
    bare.fresh.extend(stored);
    bare.hand_out();
    let _unfit = bare.attach(WIDE, Some(nothing()));
    bare.hand_out();
    let track = bare.tracked.get(2).unwrap();
    assert_eq!(track.tries, Tries::default(), "it was not handed out");
    let soon = Instant::now() + Duration::from_millis(250);
    assert_eq!((bare.tracked.place(2), bare.tracked.unfit(2)), (Some(Place::Waiting(soon)), None));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_carry_is_parked_once_the_ack_timeout_has_passed() {
    let mut bare = Bare::new(Limits { ack_timeout_seconds: 30, ..Limits::default() });
    let stored = bare.append(&[0]).await;
    let _unfit = bare.attach(WIDE, Some(nothing()));
    let since = Instant::now();
    bare.fresh.extend(stored.clone());
    bare.hand_out();
    let waits = (Some(Place::Waiting(since + 30 * SECOND)), Some(since));
    assert_eq!((bare.tracked.place(1), bare.tracked.unfit(1)), waits);
    advance(29 * SECOND).await;
    bare.tracked.put(1, Place::Due);
    bare.again.extend(stored.clone());
    bare.hand_out();
    assert_eq!((bare.tracked.place(1), bare.tracked.unfit(1)), waits);
    advance(SECOND).await;
    bare.tracked.put(1, Place::Due);
    bare.again.extend(stored);
    bare.hand_out();
    let reason = "no connector that was connected could carry it: too large";
    assert_eq!(bare.changed().await, [park(1, ParkCause::DeadLettered, reason, Some(1))]);
}

/// Three webhooks in a queue that is to lose two: the first is fresh, the second waits, the third is fresh.
async fn overfull(limits: Limits) -> Bare {
    let mut bare = Bare::new(Limits { overflow: Overflow::DropOldest, ..limits });
    let stored = bare.append(&[0, 0, 0]).await;
    bare.tracked.fly(2, &stored[1].webhook, Tries::default());
    bare.tracked.put(2, Place::Waiting(Instant::now() + SECOND));
    bare.fresh.extend([stored[0].clone(), stored[2].clone()]);
    bare.displaced = 2;
    bare
}

#[tokio::test(start_paused = true)]
async fn the_oldest_make_room_whether_they_are_fresh_or_wait() {
    let weight = webhook("{}", clock::now()).weight() as u64;
    let narrow = [
        Limits { max_queue_size: 2, ..Limits::default() },
        Limits { max_queue_bytes: 3 * weight - 1, ..Limits::default() },
    ];
    for limits in narrow {
        let mut bare = overfull(limits).await;
        bare.hand_out();
        let full = |sequence, tries| park(sequence, ParkCause::Dropped, "the queue was full", tries);
        assert_eq!(bare.changed().await, [full(1, None), full(2, Some(0))]);
        assert_eq!((bare.displaced, bare.fresh.len()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_makes_room_before_what_is_fresh_and_younger() {
    let mut bare = overfull(Limits { max_queue_size: 2, ..Limits::default() }).await;
    bare.fresh.pop_front();
    bare.hand_out();
    let parked = bare.changed().await.into_iter().map(|change| match change {
        Change::Park { sequence, .. } => sequence,
        other => panic!("{other:?}"),
    });
    assert_eq!(parked.collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_room_in_a_queue_within_its_bounds() {
    let weight = webhook("{}", clock::now()).weight() as u64;
    let exact = Limits { max_queue_size: 3, max_queue_bytes: 3 * weight, ..Limits::default() };
    let mut bare = overfull(exact).await;
    bare.hand_out();
    assert_eq!((bare.changed().await, bare.displaced), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_due_again_is_read_when_there_is_room_and_none_is_ready() {
    let mut bare = Bare::new(Limits::default());
    let stored = bare.append(&[0, 0, 0]).await;
    bare.cursor = 3;
    for one in &stored {
        bare.tracked.fly(one.sequence, &one.webhook, Tries { begun: 7, counted: 0 });
        bare.tracked.put(one.sequence, Place::Due);
    }
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "no room");
    let _taker = bare.attach(Window { events: 2, bytes: 1_000 }, None);
    bare.read_ahead();
    assert!(!bare.reading.is_idle());
    let read = bare.reading.done().await;
    assert_eq!(bare.store.script().loads, [(vec![1, 2], 1_000)]);
    bare.on_read(read);
    let again: Vec<_> = bare.again.iter().map(|stored| (stored.sequence, stored.tries.begun)).collect();
    assert_eq!(again, [(1, 7), (2, 7)], "the count here is ahead of the store's");
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "some are ready");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_and_gone_is_forgotten() {
    let mut bare = Bare::new(Limits::default());
    bare.tracked.recover(9, clock::now(), Tries::default(), Instant::now());
    bare.on_read(Ok(Read::Again(Loaded { stored: vec![], gone: vec![9] })));
    assert_eq!(bare.tracked.place(9), None);
}

#[tokio::test(start_paused = true)]
async fn fresh_webhooks_are_read_ahead_of_the_room_and_not_again() {
    let mut bare = Bare::new(Limits::default());
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "there are none");
    bare.append(&[0; 20]).await;
    let _taker = bare.attach(Window { events: 17, bytes: 1 << 40 }, None);
    bare.read_ahead();
    let read = bare.reading.done().await;
    bare.on_read(read);
    let bytes = bare.limits.max_in_flight_bytes.min(4 << 20);
    assert_eq!(bare.store.script().reads, [(0, Limit { events: 17, bytes })]);
    assert_eq!((bare.cursor, bare.fresh.len()), (17, 17));
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "as many are ready as there is room for");
    bare.fresh.pop_front();
    bare.read_ahead();
    assert!(!bare.reading.is_idle());
}

#[tokio::test(start_paused = true)]
async fn the_head_of_the_queue_is_read_though_nobody_is_there() {
    let mut bare = Bare::new(Limits::default());
    bare.append(&[0]).await;
    bare.read_ahead();
    let read = bare.reading.done().await;
    bare.on_read(read);
    assert_eq!((bare.cursor, bare.fresh.len()), (1, 1));
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "nothing fresh is left");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_dead_letters_are_purged_beyond_their_bounds() {
    let mut bare = Bare::new(Limits::default());
    bare.append(&[0, 0]).await;
    bare.cursor = 2;
    for sequence in [1, 2] {
        bare.changes.push(park(sequence, ParkCause::Expired, "", None));
    }
    bare.store.script().shown = Some(|stats| stats.parked = 100_001);
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "not while changes wait");
    bare.changed().await;
    bare.store.script().shown = Some(|stats| (stats.parked, stats.parked_bytes) = (100_000, 1 << 30));
    bare.read_ahead();
    assert!(bare.reading.is_idle(), "they are within their bounds");
    bare.store.script().shown = Some(|stats| stats.parked_bytes = (1 << 30) + 1);
    bare.read_ahead();
    assert!(!bare.reading.is_idle(), "too many bytes");
    drop(bare.reading.done().await);
    bare.store.script().shown = Some(|stats| stats.parked = 100_001);
    bare.read_ahead();
    let read = bare.reading.done().await;
    bare.on_read(read);
    assert_eq!(bare.changed().await, [1, 2].map(|sequence| Change::Purge { sequence }));
}
