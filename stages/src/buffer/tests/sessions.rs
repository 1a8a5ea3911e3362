//! Who gets a webhook, and how much room there is.

use std::time::{Duration, SystemTime};

use engine::ack::Outcome;
use engine::ledger::Window;
use engine::supply::{Carries, Unfit};
use futures::FutureExt;
use tokio::time::Instant;

use super::super::sessions::{Offered, Sessions, is_expired};
use super::bare::{Taker, attach};
use super::{WIDE, webhook};

const MOST: Window = Window { events: 50, bytes: 1 << 20 };

fn window(events: usize) -> Window {
    Window { events, bytes: 1_000 }
}

fn hand_out(sessions: &mut Sessions, sequence: u64) -> Offered {
    sessions.hand_out(webhook("{}", SystemTime::UNIX_EPOCH), sequence, Instant::now())
}

fn count(taker: &mut Taker) -> usize {
    std::iter::from_fn(|| taker.events.try_recv().ok()).count()
}

fn judge(carries: bool) -> Option<Carries> {
    Some(Carries::new(move |_| if carries { Ok(()) } else { Err(Unfit("too large".into())) }))
}

#[tokio::test]
async fn the_session_with_the_most_free_window_gets_a_webhook() {
    let mut sessions = Sessions::new(MOST);
    let [mut none, mut one, mut nine] = [0, 1, 9].map(|events| attach(&mut sessions, window(events), None));
    assert!(matches!(hand_out(&mut sessions, 1), Offered::Taken(2, _)));
    assert_eq!([count(&mut none), count(&mut one), count(&mut nine)], [0, 0, 1]);
}

#[tokio::test]
async fn a_webhook_goes_to_whom_can_carry_it_and_waits_for_whom_is_full() {
    let mut sessions = Sessions::new(MOST);
    let _cannot = attach(&mut sessions, window(9), judge(false));
    assert!(matches!(hand_out(&mut sessions, 1), Offered::Unfit(Unfit(why)) if why == "too large"));
    let _can = attach(&mut sessions, window(1), judge(true));
    assert!(matches!(hand_out(&mut sessions, 1), Offered::Taken(1, _)));
    assert!(matches!(hand_out(&mut sessions, 2), Offered::NoRoom));
}

#[tokio::test]
async fn a_flight_is_found_at_its_session_until_it_is_reported() {
    let mut sessions = Sessions::new(MOST);
    let [mut one, mut other] = [1, 1].map(|events| attach(&mut sessions, window(events), None));
    let flights = [5, 6].map(|sequence| match hand_out(&mut sessions, sequence) {
        Offered::Taken(session, key) => (session, key),
        Offered::NoRoom | Offered::Unfit(_) => panic!("there is room"),
    });
    assert_eq!(flights.map(|(session, _)| session), [0, 1]);
    let found = flights.map(|(session, key)| sessions.flight(session, key).map(|flight| flight.sequence));
    assert_eq!(found, [Some(5), Some(6)]);
    let (first, second) = (one.events.try_recv().unwrap().ack, other.events.try_recv().unwrap().ack);
    first.settle(Outcome::Delivered);
    second.progress();
    let reported = sessions.collect();
    let settled: Vec<_> =
        reported.settled.iter().map(|(flight, outcome)| (flight.sequence, outcome)).collect();
    assert_eq!(settled, [(5, &Outcome::Delivered)]);
    assert_eq!(reported.progressed, [flights[1]]);
    assert!(sessions.flight(flights[0].0, flights[0].1).is_none());
}

#[tokio::test]
async fn the_room_is_what_all_open_sessions_have_free() {
    let mut sessions = Sessions::new(MOST);
    let weight = webhook("{}", SystemTime::UNIX_EPOCH).weight();
    assert_eq!((sessions.room(), sessions.has_room(1)), (Window { events: 0, bytes: 0 }, false));
    let (two, three) = (attach(&mut sessions, window(2), None), attach(&mut sessions, window(3), None));
    hand_out(&mut sessions, 1);
    hand_out(&mut sessions, 2);
    assert_eq!(sessions.room(), Window { events: 3, bytes: 2_000 - 2 * weight });
    assert!(sessions.has_room(1_000 - weight) && !sessions.has_room(1_001 - weight));
    drop((two, three));
    assert_eq!((sessions.room(), sessions.has_room(1)), (Window { events: 0, bytes: 0 }, false));
    assert!(matches!(hand_out(&mut sessions, 3), Offered::NoRoom));
}

#[tokio::test]
async fn a_window_is_bounded_by_the_channels_and_changes_when_it_is_told() {
    let mut sessions = Sessions::new(MOST);
    let taker = attach(&mut sessions, Window { events: 1_000, bytes: 9 }, None);
    assert_eq!(sessions.room(), Window { events: 50, bytes: 9 });
    taker.window.send_replace(Window { events: 7, bytes: usize::MAX });
    assert_eq!(sessions.room(), Window { events: 50, bytes: 9 }, "not before it is collected");
    sessions.collect();
    assert_eq!(sessions.room(), Window { events: 7, bytes: 1 << 20 });
}

#[tokio::test]
async fn a_change_of_a_window_is_noticed_each_time() {
    let mut sessions = Sessions::new(MOST);
    let taker = attach(&mut sessions, WIDE, None);
    assert_eq!(sessions.changed().now_or_never(), None);
    for _ in 0..2 {
        taker.window.send_replace(WIDE);
        assert_eq!(sessions.changed().now_or_never(), Some(()));
    }
}

#[tokio::test]
async fn a_session_that_ended_stays_until_it_holds_nothing() {
    let mut sessions = Sessions::new(MOST);
    let _open = attach(&mut sessions, window(0), None);
    let mut taker = attach(&mut sessions, WIDE, None);
    hand_out(&mut sessions, 1);
    let event = taker.events.try_recv().unwrap();
    drop(taker);
    assert_eq!((sessions.collect().ended.len(), sessions.len(), sessions.is_empty()), (0, 2, false));
    drop(event);
    assert_eq!((sessions.collect().ended, sessions.len()), (vec!["s".to_owned()], 1));
}

#[test]
fn a_webhook_is_expired_from_its_ttl_on() {
    let (ttl, received) = (Duration::from_secs(60), SystemTime::UNIX_EPOCH);
    let at = |seconds| is_expired(received, ttl, received + Duration::from_secs(seconds));
    assert_eq!([59, 60, 61].map(at), [false, true, true]);
}
