//! Who owns a webhook that was handed out, and what is remembered of it.

use std::time::{Duration, SystemTime};

use engine::store::Tries;
use tokio::time::Instant;

use super::super::tracked::{Place, Tracked};
use super::webhook;

const TRIES: Tries = Tries { begun: 3, counted: 2 };

fn secs(n: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(n)
}

/// Tracks `sequences` as handed out, received as many seconds after 1970 as their number says.
fn flying(sequences: impl IntoIterator<Item = u64>) -> Tracked {
    let mut tracked = Tracked::default();
    for sequence in sequences {
        tracked.fly(sequence, &webhook("{}", secs(sequence)), TRIES);
    }
    tracked
}

#[test]
fn a_webhook_is_with_one_owner_at_a_time() {
    let mut tracked = flying([1, 2]);
    let until = Instant::now();
    assert_eq!((tracked.flying(), tracked.place(1)), (2, Some(Place::Flying)));
    tracked.put(1, Place::Waiting(until));
    assert_eq!((tracked.flying(), tracked.next_timer(), tracked.has_due()), (1, Some(until), false));
    tracked.put(1, Place::Due);
    assert_eq!((tracked.next_timer(), tracked.has_due(), tracked.due(9)), (None, true, vec![1]));
    tracked.put(1, Place::Flying);
    assert_eq!((tracked.flying(), tracked.has_due(), tracked.due(9)), (2, false, vec![]));
    tracked.fly(1, &webhook("{}", secs(1)), TRIES);
    assert_eq!(tracked.flying(), 2, "handed out again, it counts once");
}

#[test]
fn a_webhook_is_found_by_its_id_until_it_is_settled() {
    let mut tracked = Tracked::default();
    let webhook = webhook("{}", secs(7));
    tracked.fly(5, &webhook, TRIES);
    assert_eq!(tracked.find(webhook.id()), Some(5));
    let track = tracked.remove(5).unwrap();
    let label = track.label.unwrap();
    assert_eq!((label.id, &*label.webhook, label.bytes), (webhook.id(), "w", 2));
    assert_eq!((track.received, track.tries), (secs(7), TRIES));
    assert_eq!((tracked.find(webhook.id()), tracked.place(5), tracked.flying()), (None, None, 0));
    assert!(tracked.remove(5).is_none() && tracked.get(5).is_none());
}

#[test]
fn what_the_store_had_deferred_waits_for_its_timer() {
    let mut tracked = Tracked::default();
    let until = Instant::now();
    tracked.recover(4, secs(9), TRIES, until);
    let track = tracked.get(4).unwrap();
    assert_eq!((track.received, track.tries, track.label.is_none()), (secs(9), TRIES, true));
    assert_eq!((tracked.place(4), tracked.next_timer()), (Some(Place::Waiting(until)), Some(until)));
}

#[test]
fn a_timer_rings_at_its_moment_and_not_before() {
    let mut tracked = flying([1, 2, 3]);
    let now = Instant::now();
    let later = now + Duration::from_nanos(1);
    for (sequence, until) in [(1, later), (2, now), (3, now)] {
        tracked.put(sequence, Place::Waiting(until));
    }
    tracked.ring(now);
    assert_eq!((tracked.due(9), tracked.due(1)), (vec![2, 3], vec![2]));
    assert_eq!(tracked.place(1), Some(Place::Waiting(later)));
}

#[test]
fn the_oldest_that_nobody_holds_waits_or_is_due() {
    let mut tracked = flying(1..=4);
    assert_eq!(tracked.oldest_idle(), None);
    tracked.put(3, Place::Due);
    assert_eq!(tracked.oldest_idle(), Some(3));
    tracked.put(2, Place::Waiting(Instant::now()));
    assert_eq!(tracked.oldest_idle(), Some(2));
    tracked.put(4, Place::Due);
    tracked.put(2, Place::Parked);
    assert_eq!(tracked.oldest_idle(), Some(3));
}

#[test]
fn the_dead_letters_are_not_the_oldest_in_the_queue() {
    let mut tracked = flying([2, 1]);
    assert_eq!(tracked.oldest_received(), Some(secs(1)));
    tracked.put(1, Place::Parked);
    assert_eq!(tracked.oldest_received(), Some(secs(2)));
    tracked.remove(2);
    assert_eq!(tracked.oldest_received(), None);
}

#[test]
fn the_number_of_tries_can_be_set() {
    let mut tracked = flying([1]);
    let tries = Tries { begun: 9, counted: 8 };
    tracked.set_tries(1, tries);
    assert_eq!(tracked.get(1).unwrap().tries, tries);
}

#[test]
fn what_nobody_could_carry_is_offered_again_and_keeps_since_when() {
    let mut tracked = flying([1, 2]);
    let (since, until) = (Instant::now(), Instant::now() + Duration::from_secs(30));
    for sequence in [1, 2] {
        tracked.put(sequence, Place::Waiting(until));
    }
    tracked.set_unfit(1, Some(since));
    assert_eq!((tracked.unfit(1), tracked.unfit(2)), (Some(since), None));
    tracked.reconsider();
    assert_eq!((tracked.place(1), tracked.place(2)), (Some(Place::Due), Some(Place::Waiting(until))));
    assert_eq!(tracked.unfit(1), Some(since));
    tracked.put(1, Place::Waiting(until));
    tracked.set_unfit(1, None);
    tracked.reconsider();
    assert_eq!((tracked.place(1), tracked.unfit(1)), (Some(Place::Waiting(until)), None));
}

#[test]
fn since_when_nobody_could_carry_it_is_forgotten_when_nobody_is_there() {
    let mut tracked = flying([1]);
    tracked.put(1, Place::Waiting(Instant::now()));
    tracked.set_unfit(1, Some(Instant::now()));
    tracked.forget_unfit();
    assert_eq!((tracked.place(1), tracked.unfit(1)), (Some(Place::Due), None));
}

#[test]
fn the_oldest_dead_letters_are_forgotten_unless_they_left() {
    let mut tracked = flying(1..=10_002);
    (1..=10_000).for_each(|sequence| tracked.put(sequence, Place::Parked));
    assert_eq!(tracked.place(1), Some(Place::Parked));
    tracked.put(2, Place::Due);
    tracked.put(10_001, Place::Parked);
    assert_eq!((tracked.place(1), tracked.place(2)), (None, Some(Place::Due)));
    tracked.put(10_002, Place::Parked);
    assert_eq!((tracked.place(2), tracked.place(3)), (Some(Place::Due), Some(Place::Parked)));
}
