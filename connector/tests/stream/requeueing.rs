//! A receiver of the reference kind with a queue behind it: it gives back at once what a connector gives back, forgets
//! connections without closing them, and knows an acknowledgement only on the connection that the webhook came by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use engine::ack::{Cause, Outcome};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::party::reference::{Reference, Socket, Way, message};
use crate::party::stage::Stage;

/// Webhooks that are out at a time.
const WINDOW: usize = 5;

/// How long everything may take.
const MOST: Duration = Duration::from_secs(30);

/// How often the receiver gives a sign of life.
const BEAT: Duration = Duration::from_millis(100);

/// The queue of a channel, seen from the one connection that is served.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<String>,
    out: Vec<String>,
    removed: BTreeSet<String>,
    given_back: usize,
    /// Acknowledgements on a connection that the webhook did not come by.
    ignored: usize,
}

impl Queue {
    fn of(count: usize) -> Self {
        Self { waiting: (1..=count).map(|n| format!("msg_{n:016}")).collect(), ..Self::default() }
    }

    async fn hand_out(&mut self, socket: &mut Socket) {
        while self.out.len() < WINDOW
            && let Some(id) = self.waiting.pop_front()
        {
            let mut message = message(&id);
            message["payload"] = json!({ "id": id });
            socket.send(&message).await;
            self.out.push(id);
        }
    }

    fn hear(&mut self, said: &Value) {
        let is_out = self.out.iter().position(|id| said["message_id"] == **id);
        match (said["type"].as_str(), is_out) {
            (Some("heartbeat"), _) => {}
            (Some("ack"), Some(at)) => drop(self.removed.insert(self.out.remove(at))),
            (Some("nack"), Some(at)) => {
                assert_eq!(said["retry"], true, "{said}");
                self.given_back += 1;
                self.waiting.push_front(self.out.remove(at));
            }
            _ => self.ignored += 1,
        }
    }

    /// Gives back everything that is out, as when its connection ended or was forgotten.
    fn give_back(&mut self) {
        for id in self.out.drain(..).rev() {
            self.waiting.push_front(id);
        }
    }
}

/// A connection that was forgotten looks alive: heartbeats come, and what is said on it reaches nobody.
async fn beat_on(mut socket: Socket) {
    loop {
        tokio::select! {
            said = socket.any_or_end() => if said.is_none() { return },
            () = sleep(BEAT) => socket.heartbeat().await,
        }
    }
}

/// Numbers that are the same in every run.
struct Dice(u32);

impl Dice {
    fn one_in(&mut self, n: u32) -> bool {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16).is_multiple_of(n)
    }
}

#[tokio::test]
async fn cut_forgotten_and_refused_each_webhook_is_delivered_once_and_none_is_lost() {
    const WEBHOOKS: usize = 60;
    let mut receiver = Reference::start(false).await;
    let mut stage = Stage::start(receiver.address, json!({})).await;
    let (mut queue, mut dice, began) = (Queue::of(WEBHOOKS), Dice(7), Instant::now());
    let (mut confirmed, mut refused) = (BTreeMap::<String, usize>::new(), 0);
    let (mut cut, mut forgotten) = (0, 0);
    let mut socket = receiver.socket().await;
    while queue.removed.len() < WEBHOOKS {
        assert!(began.elapsed() < MOST, "{} of {WEBHOOKS} removed", queue.removed.len());
        queue.hand_out(&mut socket).await;
        tokio::select! {
            said = socket.any_or_end() => match said {
                Some(said) => queue.hear(&said),
                None => panic!("the connector left a connection that worked"),
            },
            event = stage.arrives() => {
                let body: Value = serde_json::from_str(std::str::from_utf8(&event.webhook.body).unwrap()).unwrap();
                if dice.one_in(12) {
                    refused += 1;
                    let delay = Some(Duration::from_millis(10));
                    event.ack.settle(Outcome::Abandoned { delay, cause: Cause::Failed, reason: None });
                } else {
                    *confirmed.entry(body["id"].as_str().unwrap().to_owned()).or_default() += 1;
                    // Sometimes the connection has ended by the time the webhook is confirmed.
                    if cut < 4 && dice.one_in(10) {
                        cut += 1;
                        queue.give_back();
                        drop(socket);
                        event.ack.settle(Outcome::Delivered);
                        socket = receiver.socket().await;
                    } else if forgotten < 2 && queue.removed.len() > 20 * (forgotten + 1) {
                        forgotten += 1;
                        // How often it beats is learnt from what it did.
                        for _ in 0..3 {
                            socket.heartbeat().await;
                            sleep(BEAT).await;
                        }
                        queue.give_back();
                        receiver.behaviour().connected_clients = 0;
                        event.ack.settle(Outcome::Delivered);
                        tokio::spawn(beat_on(socket));
                        socket = receiver.socket().await;
                        receiver.behaviour().connected_clients = 1;
                    } else {
                        event.ack.settle(Outcome::Delivered);
                    }
                }
            }
        }
    }
    assert_eq!((cut, forgotten), (4, 2));
    assert_eq!(confirmed.len(), WEBHOOKS);
    assert!(confirmed.values().all(|times| *times == 1), "delivered twice: {confirmed:?}");
    // No storm: what is refused comes back once for each refusal, and a connection is asked for when one is needed.
    assert!(queue.given_back <= refused, "{} given back, {refused} refused", queue.given_back);
    assert_eq!(receiver.requests("GET /connect/stream").len(), 1 + cut + forgotten);
    let (asked, seconds) = (receiver.requests("/connect/status").len(), began.elapsed().as_secs());
    assert!(asked as u64 <= 4 * (seconds + 1), "asked {asked} times for the status in {seconds} s");
}

#[tokio::test]
async fn what_is_delivered_again_on_the_same_connection_is_acknowledged_twice_and_delivered_once() {
    let mut receiver = Reference::start(false).await;
    let mut stage = Stage::start(receiver.address, json!({})).await;
    let mut socket = receiver.socket().await;
    // A look at the dead letters makes the reference deliver everything a second time.
    let again = message("msg_0000000000000001");
    socket.send(&again).await;
    let event = stage.arrives().await;
    socket.send(&again).await;
    assert!(!stage.has_arrived().await);
    event.ack.settle(Outcome::Delivered);
    let wanted = json!({ "type": "ack", "message_id": "msg_0000000000000001" });
    assert_eq!(socket.next().await, wanted);
    socket.send(&again).await;
    assert_eq!(socket.next().await, wanted);
    assert!(!stage.has_arrived().await);
}

#[tokio::test]
async fn a_webhook_that_fails_for_ever_comes_about_once_a_second() {
    let mut receiver = Reference::start(false).await;
    let mut stage = Stage::start(receiver.address, json!({})).await;
    let (mut queue, mut tries, began) = (Queue::of(1), 0, Instant::now());
    let mut socket = receiver.socket().await;
    while began.elapsed() < Duration::from_millis(3_500) {
        queue.hand_out(&mut socket).await;
        tokio::select! {
            said = socket.any_or_end() => queue.hear(&said.expect("the connection stays")),
            event = stage.arrives() => {
                tries += 1;
                let delay = Some(Duration::from_millis(1));
                event.ack.settle(Outcome::Abandoned { delay, cause: Cause::Failed, reason: None });
            }
        }
    }
    assert!((2..=4).contains(&tries), "2 to 4 tries in 3.5 s, found {tries}");
}

#[tokio::test]
async fn a_channel_that_is_not_registered_yet_is_asked_for_with_growing_pauses() {
    let mut receiver = Reference::start(false).await;
    receiver.behaviour().websocket = Way::Refuse(403, "");
    receiver.behaviour().sse = Way::Refuse(401, "{\"detail\":\"Invalid channel token\"}");
    let reconnect = json!({ "reconnect": { "initial_seconds": 0.1, "max_seconds": 1 } });
    let mut stage = Stage::start(receiver.address, reconnect).await;
    sleep(Duration::from_secs(3)).await;
    let asked = receiver.requests("GET /connect/stream").len();
    assert!((2..=20).contains(&asked), "2 to 20 requests in 3 s, found {asked}");
    receiver.behaviour().websocket = Way::Open;
    let mut socket = receiver.socket().await;
    socket.send(&message("msg_0000000000000001")).await;
    stage.confirm().await;
    assert_eq!(socket.next().await["type"], "ack");
}
