//! The `subscribe` source: a channel's webhooks, over a connection that is kept alive for ever.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytestring::ByteString;
use engine::kind::{Stage, StageError, Wiring};
use engine::ledger::Window;
use engine::meter::Counter;
use engine::port::{Out, Verified};
use engine::webhook::Event;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::greeting::{Gone, Greeted, Misunderstood, greet};
use crate::recent::Recent;
use crate::reconnect::{Clocks, Reconnect};
use crate::session::{End, Session};
use crate::status::{ChannelStatus, State};
use crate::stop;
use crate::transport::fallback::Next;
use crate::transport::{Dialer, Fallback};
use crate::work::{Ends, Work};

/// While stopping, a lost connection is tried again after this at the latest.
const STOPPING_WAIT: Duration = Duration::from_secs(1);

/// Waits are cut into slices of this, to notice that the machine slept.
const SLICE: Duration = Duration::from_secs(1);

/// The open stage.
pub(crate) struct Source {
    pub(crate) channel: ByteString,
    pub(crate) window: Window,
    /// Whether it only watches.
    pub(crate) tap: bool,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) fallback: Fallback,
    pub(crate) reconnect: Reconnect,
    pub(crate) recent: Arc<Mutex<Recent>>,
    pub(crate) status: Arc<ChannelStatus>,
    pub(crate) connections: Counter,
    pub(crate) misunderstood: Counter,
    pub(crate) beyond_window: Counter,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Stage for Source {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let out = wiring.out.ok_or_else(|| StageError("nothing takes the webhooks".to_owned()))?;
            let (feed, fed) = mpsc::channel(self.window.events);
            let status = Arc::clone(&self.status);
            status.watches(self.tap);
            let ends = Ends {
                feed,
                recent: Arc::clone(&self.recent),
                status: Arc::clone(&status),
                beyond_window: self.beyond_window.clone(),
            };
            let work = Work::new(self.channel.clone(), self.window, self.tap, ends);
            let ended = tokio::select! {
                biased;
                () = hand_on(fed, out) => Err(StageError("the next stage has ended".to_owned())),
                () = Box::pin(self.stay_connected(work)) => Ok(()),
            };
            status.becomes(State::Stopped);
            ended
        })
    }
}

/// Hands webhooks to the next stage until it has ended.
async fn hand_on(mut fed: mpsc::Receiver<Event>, out: Out<Verified>) {
    while let Some(event) = fed.recv().await {
        if out.send(event).await.is_err() {
            return;
        }
    }
}

impl Source {
    /// Connects again and again until told to stop and done.
    async fn stay_connected(mut self, mut work: Work) {
        while !(stop::is_told(&self.stop) && work.is_done()) {
            let Some(gone) = self.connect(&mut work).await else { return };
            if stop::is_told(&self.stop) && work.is_idle() {
                // What could not be told is delivered again: at least once.
                return;
            }
            self.wait(gone, &mut work).await;
        }
    }

    /// Makes one connection and lives it. None: told to stop, and done.
    async fn connect(&mut self, work: &mut Work) -> Option<Gone> {
        self.status.becomes(State::Connecting);
        self.fallback.begin();
        let greeted = loop {
            let transport = self.fallback.current();
            info!(channel = %self.channel, receiver = %self.dialer.address(), transport = transport.name(), "connecting");
            let mut misunderstood = Misunderstood::new(&self.channel, &self.misunderstood);
            let greeted = tokio::select! {
                biased;
                () = stop::told(&mut self.stop), if work.is_done() => return None,
                greeted = greet(&self.dialer, transport, &mut misunderstood) => greeted,
            };
            let error = match greeted {
                Ok(greeted) => break greeted,
                Err(error) => error,
            };
            match self.fallback.failed(&error) {
                Next::Another => {
                    let next = self.fallback.current().name();
                    warn!(channel = %self.channel, transport = transport.name(), %error, next, "this way is blocked");
                    self.status.failed(error.to_string());
                }
                Next::Wait => return Some(Gone::Lost(error.to_string(), Duration::ZERO)),
                Next::Refused => return Some(Gone::Refused(error)),
            }
        };
        self.fallback.works();
        self.live(greeted, work).await
    }

    /// Lives sessions until one ends; a better way that works meanwhile takes the session over.
    async fn live(&mut self, mut greeted: Greeted, work: &mut Work) -> Option<Gone> {
        loop {
            self.connections.add(1);
            let transport = greeted.transport;
            self.status.connected(transport.name());
            let (Window { events, bytes }, session) = (self.window, greeted.welcome.session.clone());
            info!(
                channel = %self.channel, session = &*session, transport = transport.name(), window = events,
                window_bytes = bytes, "connected"
            );
            if self.tap {
                info!(channel = %self.channel, "a tap: it sees every webhook from now on and settles none");
            }
            let (began, mut brought) = (Instant::now(), false);
            let Self { fallback, dialer, stop, channel, misunderstood: counter, .. } = &mut *self;
            let (channel, counter) = (&*channel, &*counter);
            let misunderstood = Misunderstood::new(channel, counter);
            let mut probing = stop.clone();
            let session = Session::new(work, greeted, &mut brought, misunderstood);
            let end = tokio::select! {
                biased;
                end = Box::pin(session.run(stop)) => end,
                better = Box::pin(better(fallback, dialer, channel, counter, &mut probing)) => {
                    // What the old session had in flight comes back on the new one and joins what is in progress.
                    work.disconnected();
                    greeted = better;
                    continue;
                }
            };
            self.fallback.ended(began.elapsed(), brought);
            return match end {
                End::Left => None,
                End::Lost(why) => Some(Gone::Lost(why, began.elapsed())),
                End::Slept => Some(Gone::Slept),
            };
        }
    }

    /// Says why there is no connection and waits before the next try, booking what is reported meanwhile.
    async fn wait(&mut self, gone: Gone, work: &mut Work) {
        let wait = self.tell(gone);
        self.status.becomes(State::Waiting);
        let mut clocks = Clocks::now();
        let mut until = Instant::now() + wait;
        while Instant::now() < until {
            let stopping = stop::is_told(&self.stop);
            if stopping {
                work.leave();
                until = until.min(Instant::now() + STOPPING_WAIT);
            }
            tokio::select! {
                biased;
                reports = work.reports() => work.book(reports),
                () = stop::told(&mut self.stop), if !stopping => {}
                () = tokio::time::sleep_until(until.min(Instant::now() + SLICE)) => {}
            }
            let done = stop::is_told(&self.stop) && work.is_done();
            if done || clocks.slept() {
                return;
            }
        }
    }

    /// Logs why there is no connection and returns how long to wait.
    fn tell(&mut self, gone: Gone) -> Duration {
        let channel = &self.channel;
        match gone {
            Gone::Lost(error, lived) => {
                let next = self.reconnect.after(lived);
                let next_try_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
                warn!(%channel, error, next_try_ms, "not connected");
                self.status.failed(error);
                next
            }
            Gone::Refused(error) => {
                let next = self.reconnect.after_refusal();
                let next_try_s = next.as_secs();
                error!(%channel, %error, next_try_s, "the receiver refused the token of this channel: check the channel's \
                    name and its token here against `channel_token` at the receiver; it is tried again");
                self.status.failed(error.to_string());
                next
            }
            Gone::Slept => {
                info!(%channel, "the machine slept: connecting again at once");
                Duration::ZERO
            }
        }
    }
}

/// Waits until a better way works. Cancelling drops what was begun.
async fn better(
    fallback: &mut Fallback,
    dialer: &Arc<Dialer>,
    channel: &str,
    counter: &Counter,
    stop: &mut watch::Receiver<bool>,
) -> Greeted {
    while let Some((at, ways)) = fallback.better() {
        tokio::time::sleep_until(at).await;
        if stop::is_told(stop) {
            break;
        }
        for way in ways {
            match greet(dialer, *way, &mut Misunderstood::new(channel, counter)).await {
                Ok(greeted) => {
                    info!(channel, transport = way.name(), "a better way works again");
                    fallback.improved(*way);
                    return greeted;
                }
                Err(error) => {
                    debug!(channel, transport = way.name(), %error, "a better way does not work yet")
                }
            }
        }
        fallback.not_improved();
    }
    std::future::pending().await
}
