//! What reports mean: removed, given back under a timer, or into the dead letters.

use std::time::Duration;

use engine::ack::{Ack, Answer, Cause, Outcome, Reason};
use engine::clock;
use engine::ledger::{Ledger, Window};
use engine::limits::Limits;
use engine::store::{Change, ParkCause, Store, Tries};
use engine::supply::{Carries, Unfit};
use tokio::time::{Instant, advance};

use super::super::reading::Read;
use super::super::tracked::Place;
use super::bare::{Bare, Taker};
use super::{WIDE, failed};

const SECOND: Duration = Duration::from_secs(1);

fn abandoned(delay: Option<Duration>, cause: Cause) -> Outcome {
    Outcome::Abandoned { delay, cause, reason: None }
}

/// A driver with one session that holds one webhook.
async fn flying(limits: Limits) -> (Bare, Taker, Ack) {
    let mut bare = Bare::new(limits);
    let mut taker = bare.attach(WIDE, None);
    let stored = bare.append(&[0]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    let ack = taker.events.recv().await.unwrap().ack;
    (bare, taker, ack)
}

#[tokio::test(start_paused = true)]
async fn a_webhook_given_back_with_a_delay_waits_exactly_so_long() {
    let (mut bare, _taker, ack) = flying(Limits::default()).await;
    ack.settle(failed(Some(2 * SECOND)));
    bare.collect();
    assert_eq!(bare.tracked.place(1), Some(Place::Waiting(Instant::now() + 2 * SECOND)));
    let tries = Tries { begun: 1, counted: 1 };
    let until = Some(clock::now() + 2 * SECOND);
    assert_eq!(bare.tracked.lost(1), None, "its session has not ended");
    assert_eq!(bare.changed().await, [Change::Defer { sequence: 1, tries, until }]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_webhook_is_due_at_once_and_counted() {
    let (mut bare, _taker, ack) = flying(Limits::default()).await;
    drop(ack);
    bare.collect();
    assert_eq!(bare.tracked.place(1), Some(Place::Due));
    let tries = Tries { begun: 1, counted: 1 };
    assert_eq!(bare.changed().await, [Change::Defer { sequence: 1, tries, until: None }]);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_end_together_are_one_loss_and_the_webhook_waits_until_they_have() {
    let (mut bare, _taker, ack) = flying(Limits { max_deliveries: 3, ..Limits::default() }).await;
    drop((_taker, ack));
    bare.collect();
    let begun = Instant::now();
    assert_eq!(bare.tracked.place(1), Some(Place::Due));
    for (tries, place) in [
        (Tries { begun: 2, counted: 1 }, Place::Waiting(begun + SECOND)),
        (Tries { begun: 3, counted: 2 }, Place::Due),
        (Tries { begun: 4, counted: 2 }, Place::Waiting(begun + 2 * SECOND)),
        (Tries { begun: 5, counted: 2 }, Place::Parked),
    ] {
        bare.on_time();
        let loaded = bare.store.load(vec![1], 1 << 20).await;
        bare.on_read(loaded.map(Read::Again));
        let taker = bare.attach(WIDE, None);
        bare.hand_out();
        drop(taker);
        bare.collect();
        let track = bare.tracked.get(1).unwrap();
        assert_eq!((bare.tracked.place(1), track.tries), (Some(place), tries));
        if let Place::Waiting(until) = place {
            advance(until - Instant::now()).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_destination_is_not_counted() {
    let (mut bare, _taker, ack) = flying(Limits { max_deliveries: 1, ..Limits::default() }).await;
    ack.settle(abandoned(Some(SECOND), Cause::Unreachable));
    bare.collect();
    assert_eq!(bare.tracked.get(1).unwrap().tries, Tries { begun: 1, counted: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_webhook_delivered_too_often_is_parked_with_the_last_reason() {
    for (outcome, last) in [(failed(None), "500"), (abandoned(None, Cause::Failed), "failed")] {
        let (mut bare, _taker, ack) = flying(Limits { max_deliveries: 1, ..Limits::default() }).await;
        ack.settle(outcome);
        bare.collect();
        let reason = format!("delivered 1 times without success, last: {last}");
        let tries = Some(Tries { begun: 1, counted: 0 });
        let wanted = Change::Park { sequence: 1, cause: ParkCause::DeadLettered, reason, tries };
        assert_eq!(bare.changed().await, [wanted]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_already_is_not_parked_again() {
    let (mut bare, _taker, _ack) = flying(Limits::default()).await;
    let answer = Answer::new(400, "refused");
    for (outcome, changes) in [(Outcome::Refused { answer }, 1), (failed(None), 0)] {
        bare.conclude(1, outcome);
        assert_eq!((bare.tracked.place(1), bare.changed().await.len()), (Some(Place::Parked), changes));
    }
    bare.conclude(1, Outcome::Failed { reason: Reason::new("422") });
    bare.conclude(2, Outcome::Failed { reason: Reason::new("422") });
    assert_eq!(bare.changed().await, []);
}

#[tokio::test(start_paused = true)]
async fn after_its_deadline_only_the_delivery_counts() {
    for outcome in [failed(None), Outcome::Failed { reason: Reason::new("422") }, Outcome::Delivered] {
        let (mut bare, _taker, ack) = flying(Limits { ack_timeout_seconds: 30, ..Limits::default() }).await;
        advance(30 * SECOND).await;
        bare.on_time();
        bare.changed().await;
        ack.settle(outcome.clone());
        bare.collect();
        let (place, changes) = match outcome {
            Outcome::Delivered => (None, vec![Change::Remove { sequence: 1 }]),
            _ => (Some(Place::Due), vec![]),
        };
        assert_eq!((bare.tracked.place(1), bare.changed().await), (place, changes));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadlines_of_settled_flights_are_forgotten_when_they_are_many() {
    let mut bare = Bare::new(Limits::default());
    let _taker = bare.attach(WIDE, None);
    let stored = bare.append(&[0, 0, 0]).await;
    bare.fresh.extend(stored);
    bare.hand_out();
    let at = Instant::now() + SECOND;
    let mut others = Ledger::new(Window { events: 1, bytes: 1 });
    // Of a session that has gone.
    let stale: Vec<_> = (0..1_028).map(|_| (at, 99, others.open(0, ()).0)).collect();
    bare.deadlines.extend(&stale[..1_027]);
    bare.collect();
    assert_eq!(bare.deadlines.len(), 3 + 1_027);
    bare.deadlines.insert(stale[1_027]);
    bare.collect();
    assert_eq!(bare.deadlines.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn since_when_nobody_could_carry_it_is_kept_until_the_last_session_ends() {
    let mut bare = Bare::new(Limits::default());
    let unfit = || Some(Carries::new(|_| Err(Unfit("too large".into()))));
    let (one, other) = (bare.attach(WIDE, unfit()), bare.attach(WIDE, unfit()));
    let stored = bare.append(&[0]).await;
    bare.fresh.extend(stored);
    let since = Some(Instant::now());
    bare.hand_out();
    bare.collect();
    assert_eq!(bare.tracked.unfit(1), since);
    drop(one);
    bare.collect();
    assert_eq!(bare.tracked.unfit(1), since);
    drop(other);
    bare.collect();
    assert_eq!((bare.tracked.unfit(1), bare.tracked.place(1)), (None, Some(Place::Due)));
}
