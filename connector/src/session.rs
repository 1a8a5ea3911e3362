//! One session, whatever carries it: frames in, settlements out, until the connection ends or everything is done.
//!
//! One frame is sent at a time, chosen when the link is idle, so nothing queues up here: what is due is told, the rest
//! waits in the work and coalesces.

use std::time::Duration;

use engine::ledger::Window;
use schemas::wire::frame::Frame;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::greeting::{Greeted, Misunderstood, said_bye};
use crate::reconnect::Clocks;
use crate::settle::ranges;
use crate::stop;
use crate::transport::{Link, Turn};
use crate::work::Work;

/// How long goodbye beneath the frames may take.
const CLOSE: Duration = Duration::from_secs(1);

/// The clocks are looked at this often at least.
const LOOK: Duration = Duration::from_secs(2);

/// Heartbeats and deadlines shorter than this are taken for this.
const SHORTEST: Duration = Duration::from_millis(50);

/// Longer ones are taken for a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Why a session is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything was finished and told after the stop.
    Left,
    /// The connection is of no use any more.
    Lost(String),
    /// The machine slept; the connection is most likely dead.
    Slept,
}

/// What is being sent.
enum Sending {
    Settle,
    Bye,
    Other,
}

/// One open session.
pub(crate) struct Session<'a> {
    work: &'a mut Work,
    link: Link,
    /// The interval that the receiver named.
    heartbeat: Duration,
    early: Option<Frame>,
    brought: &'a mut bool,
    /// When reading went on last: what is not read cannot show life.
    read: Instant,
    between_progress: Duration,
    spoke: Instant,
    progress_due: Instant,
    pings: u64,
    pong: Option<u64>,
    sending: Sending,
    leaving: Leaving,
    misunderstood: Misunderstood<'a>,
}

/// How far leaving has come.
#[derive(PartialEq)]
enum Leaving {
    No,
    Decided,
    Told,
}

impl<'a> Session<'a> {
    /// Makes a session. `brought` becomes true once it brings a webhook.
    pub(crate) fn new(
        work: &'a mut Work,
        greeted: Greeted,
        brought: &'a mut bool,
        misunderstood: Misunderstood<'a>,
    ) -> Self {
        let Greeted { link, welcome, early, .. } = greeted;
        let now = Instant::now();
        let between_progress = welcome.ack_deadline.clamp(3 * SHORTEST, LONGEST) / 3;
        Self {
            work,
            link,
            heartbeat: welcome.heartbeat,
            early,
            brought,
            read: now,
            between_progress,
            spoke: now,
            progress_due: now + between_progress,
            pings: 0,
            pong: None,
            sending: Sending::Other,
            leaving: Leaving::No,
            misunderstood,
        }
    }

    /// Runs the session to its end. Cancelling drops the connection; the work stays whole.
    pub(crate) async fn run(mut self, stop: &mut watch::Receiver<bool>) -> End {
        let mut clocks = Clocks::now();
        if let Some(early) = self.early.take() {
            self.receive(early);
        }
        let end = loop {
            self.send_what_is_due();
            let (wake, reads) = (self.wake(), !self.work.is_swamped());
            if self.work.is_tap() && !reads {
                self.read = Instant::now();
            }
            let turn = tokio::select! {
                biased;
                () = stop::told(stop), if self.leaving == Leaving::No => {
                    self.leaving = Leaving::Decided;
                    self.work.leave();
                    continue;
                }
                reports = self.work.reports() => {
                    self.work.book(reports);
                    continue;
                }
                turn = self.link.turn(reads) => Some(turn),
                () = tokio::time::sleep_until(wake) => None,
            };
            if let Some(end) = turn.and_then(|turn| self.book(turn)) {
                break end;
            }
            if clocks.slept() {
                break End::Slept;
            }
            let silence = 2 * self.heartbeat();
            if self.heard().elapsed() >= silence {
                break End::Lost(format!("nothing was heard for {silence:?}, two heartbeats"));
            }
        };
        self.work.disconnected();
        if end == End::Left {
            // Told everything already; a peer that does not answer is not waited for.
            drop(tokio::time::timeout(CLOSE, self.link.close()).await);
        }
        end
    }

    /// Books what happened on the link.
    fn book(&mut self, turn: Turn) -> Option<End> {
        match turn {
            Turn::Sent => {
                self.spoke = Instant::now();
                match std::mem::replace(&mut self.sending, Sending::Other) {
                    Sending::Settle => self.work.settlements().sent(),
                    Sending::Bye => return Some(End::Left),
                    Sending::Other => {}
                }
            }
            Turn::Received(frame) => return self.receive(frame),
            Turn::NotUnderstood(error) => self.misunderstood.note(&error),
            Turn::Alive => {}
            Turn::Closed(why) | Turn::Ended(why) => return Some(End::Lost(why)),
        }
        None
    }

    fn receive(&mut self, frame: Frame) -> Option<End> {
        match frame {
            Frame::Deliver(deliveries) => {
                *self.brought = true;
                deliveries.into_iter().for_each(|one| self.work.take(one));
            }
            Frame::Ping(n) => self.pong = Some(n),
            Frame::Pong(_) => {}
            Frame::Gap { missed, first, last } => self.work.note_gap(missed, first, last),
            Frame::Bye(reason) => return Some(End::Lost(said_bye(&reason))),
            // In the compatible dialect, webhooks may come before it, and polls repeat it.
            Frame::Welcome { .. } if !self.link.is_native() => {}
            Frame::Hello { .. }
            | Frame::Welcome { .. }
            | Frame::Settle(_)
            | Frame::Progress(_)
            | Frame::Window(_) => {
                self.misunderstood.note(&"a frame that receivers do not send at this place");
            }
        }
        None
    }

    /// Returns how often each end shows life.
    fn heartbeat(&self) -> Duration {
        self.link.heartbeat().unwrap_or(self.heartbeat).clamp(SHORTEST, LONGEST)
    }

    /// Returns when the receiver showed life last, as far as it could.
    fn heard(&self) -> Instant {
        self.link.heard().max(self.read)
    }

    /// Starts to send the frame that is most due, if the link is idle and there is one.
    fn send_what_is_due(&mut self) {
        if !self.link.is_idle() {
            return;
        }
        let now = Instant::now();
        if let Some((frame, sending)) = self.most_due(now) {
            self.sending = sending;
            self.link.start(&frame);
        }
    }

    fn most_due(&mut self, now: Instant) -> Option<(Frame, Sending)> {
        if self.leaving == Leaving::Decided {
            self.leaving = Leaving::Told;
            return Some((Frame::Window(Window { events: 0, bytes: 0 }), Sending::Other));
        }
        if self.progress_due <= now {
            self.progress_due = now + self.between_progress;
            let seqs = self.work.seqs();
            if !seqs.is_empty() {
                return Some((Frame::Progress(ranges(seqs)), Sending::Other));
            }
        }
        if self.work.settlements_due().is_some_and(|due| due <= now) {
            return Some((Frame::Settle(self.work.settlements().next()), Sending::Settle));
        }
        if self.leaving == Leaving::Told && self.work.is_done() {
            return Some((Frame::Bye("the connector is shutting down".into()), Sending::Bye));
        }
        if let Some(n) = self.pong.take() {
            return Some((Frame::Pong(n), Sending::Other));
        }
        (self.ping_due() <= now).then(|| {
            self.pings += 1;
            (Frame::Ping(self.pings), Sending::Other)
        })
    }

    /// Half an interval after the last frame: late timers still keep to the whole one.
    fn ping_due(&self) -> Instant {
        self.spoke + self.heartbeat() / 2
    }

    /// Returns when to look again at the latest.
    fn wake(&self) -> Instant {
        let silent = (self.heard() + 2 * self.heartbeat()).min(Instant::now() + LOOK);
        if !self.link.is_idle() {
            return silent;
        }
        let due = self.progress_due.min(self.ping_due()).min(silent);
        self.work.settlements_due().map_or(due, |settle| due.min(settle))
    }
}
