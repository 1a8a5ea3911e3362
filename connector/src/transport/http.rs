//! A session over plain HTTP requests: webhooks in by a reader, settlements out by requests of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::wire::compatible::FromReceiver;
use schemas::wire::frame::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Turn;
use super::compatible::{Compatible, until};
use super::dial::Dialer;
use super::posts::Posts;
use super::watch::{Signs, Watch};

/// What a reader found.
pub(super) enum Found {
    Said(FromReceiver),
    NotUnderstood(String),
    /// Nothing but a sign of life.
    Alive,
    /// The stream is over, and why.
    Ended(String),
}

/// What becomes of the reader once the connector leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It keeps its connection open and is not listened to, so that the receiver keeps what is in progress out.
    Pauses,
    /// It ends; what it has found already is still taken.
    Ends,
}

/// One session over HTTP.
pub(crate) struct HttpStream {
    found: mpsc::Receiver<Vec<Found>>,
    /// What was found and not taken yet.
    pending: VecDeque<Found>,
    reader: Option<AbortOnDropHandle<()>>,
    leaving: Leaving,
    left: bool,
    /// Whether everything that the reader found was taken, and nothing follows.
    drained: bool,
    posts: Posts,
    sending: Option<BoxFuture<'static, Result<(), String>>>,
    /// Whether what is being sent is a frame, whose end is reported.
    reports: bool,
    compatible: Compatible,
    watch: Option<Watch>,
}

impl HttpStream {
    /// Makes a session of what a reader finds; it is given where to put that.
    pub(super) fn new(
        dialer: &Arc<Dialer>,
        signs: Signs,
        leaving: Leaving,
        reader: impl FnOnce(mpsc::Sender<Vec<Found>>) -> BoxFuture<'static, ()>,
    ) -> Self {
        let (sender, found) = mpsc::channel(1);
        let versioned = dialer.is_versioned();
        Self {
            found,
            pending: VecDeque::new(),
            reader: Some(AbortOnDropHandle::new(tokio::spawn(reader(sender)))),
            leaving,
            left: false,
            drained: false,
            posts: Posts::new(Arc::clone(dialer)),
            sending: None,
            reports: false,
            watch: (!versioned).then(|| Watch::start(dialer, &signs)),
            compatible: Compatible::new(dialer, signs),
        }
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.compatible.signs().heartbeat()
    }

    pub(super) fn heard(&self) -> Instant {
        if self.left { Instant::now() } else { self.compatible.signs().heard() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sending.is_none()
    }

    pub(super) fn start(&mut self, frame: &Frame) {
        if matches!(frame, Frame::Window(_)) {
            self.left = true;
            if self.leaving == Leaving::Ends {
                self.reader = None;
            }
        }
        let told = self.compatible.tell(frame);
        self.sending = Some(self.posts.clone().tell(told).boxed());
        self.reports = true;
    }

    pub(super) async fn turn(&mut self, read: bool) -> Turn {
        loop {
            self.start_what_is_due();
            let due = self.compatible.next_due().filter(|_| self.is_idle());
            let read = read && !(self.left && self.leaving == Leaving::Pauses);
            let has_pending = !self.pending.is_empty();
            tokio::select! {
                biased;
                sent = sent(&mut self.sending) => {
                    self.sending = None;
                    match sent {
                        Ok(()) if std::mem::take(&mut self.reports) => return Turn::Sent,
                        Ok(()) => {}
                        Err(why) => return Turn::Ended(why),
                    }
                }
                why = Watch::ended(&mut self.watch) => return Turn::Ended(why),
                () = std::future::ready(()), if read && has_pending => {
                    if let Some(turn) = self.next_pending() {
                        return turn;
                    }
                }
                found = self.found.recv(), if read && !has_pending && !self.drained => match found {
                    Some(found) => self.pending.extend(found),
                    None if self.left => self.drained = true,
                    None => return Turn::Ended("the stream ended".to_owned()),
                },
                () = until(due) => {}
            }
        }
    }

    /// Takes the next of what was found; webhooks that were found together are taken together.
    fn next_pending(&mut self) -> Option<Turn> {
        let mut turn = match self.pending.pop_front()? {
            Found::Said(said) => {
                if let FromReceiver::Connected { connection, .. } = &said {
                    self.posts.belong_to(connection.clone());
                }
                Turn::Received(self.compatible.hear(said))
            }
            Found::NotUnderstood(why) => Turn::NotUnderstood(why),
            Found::Alive => Turn::Alive,
            Found::Ended(why) => Turn::Ended(why),
        };
        if let Turn::Received(Frame::Deliver(deliveries)) = &mut turn {
            let is_webhook = |found: &mut Found| matches!(found, Found::Said(FromReceiver::Webhook(_)));
            while let Some(Found::Said(FromReceiver::Webhook(received))) =
                self.pending.pop_front_if(is_webhook)
            {
                deliveries.push(self.compatible.number(*received));
            }
        }
        Some(turn)
    }

    /// Begins to send what was held, if nothing is being sent.
    fn start_what_is_due(&mut self) {
        if self.is_idle() {
            let due = self.compatible.due();
            if !due.is_empty() {
                self.sending = Some(self.posts.clone().tell(due).boxed());
                self.reports = false;
            }
        }
    }
}

/// Waits until everything was sent; for ever when nothing is being sent. Cancelling loses nothing.
async fn sent(sending: &mut Option<BoxFuture<'static, Result<(), String>>>) -> Result<(), String> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}
