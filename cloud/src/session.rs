//! One connector's session on one channel, whatever its transport and dialect.
//!
//! The session knows windows, numbers and acks. A transport turns what the connector says into [`Said`] and writes what is
//! to be told from [`Say`]. When the connection ends the session drops every ack it holds, which returns the webhooks to
//! the channel at once. Writing has a task of its own, so that a connector which does not read cannot keep its
//! settlements from being read.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use engine::ack::{Ack, Outcome};
use engine::ledger::Window;
use engine::meter::{Counter, Metric};
use engine::record;
use engine::supply::{Carries, Subscription};
use engine::tap::{Missed, Tap};
use engine::webhook::{Event, Id, Webhook};
use schemas::wire::LARGEST_FRAME;
use schemas::wire::compatible::Gap;
use schemas::wire::frame::{DELIVER_OVERHEAD, DELIVERY_OVERHEAD};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::channel::Channel;
use crate::holder::{Holder, Which};
use crate::listener::Shared;

/// How long the last message may take to be written.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// Messages that wait to be written.
pub(crate) const WRITING: usize = 4;

/// Webhooks of one message at most.
const BATCH: usize = 256;

/// Bytes of one message to a tap, about: what waits beyond the tap's own queue is small.
const TAP_BYTES: usize = 1 << 20;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the connector said goodbye: {0}")]
    Bye(ByteString),
    #[error("the connection was closed")]
    Closed,
    #[error("the connection failed: {0}")]
    Broken(#[from] Box<tungstenite::Error>),
    #[error("no first frame came in time, or another one did")]
    NoHello,
    #[error("no sign of life for two heartbeats")]
    Silent,
    #[error("the channel's buffer ended")]
    Gone,
    #[error("the channel ends here: the receiver stops, or its configuration has changed")]
    Stopping,
}

/// What a connector said.
#[derive(Debug)]
pub(crate) enum Said {
    /// What became of webhooks it holds, or held.
    Settle(Which, Outcome),
    /// It still works on webhooks.
    Progress(Which),
    /// A new window.
    Window(Window),
    /// It wants an answer.
    Ping(u64),
    /// It is alive.
    Life,
    /// It is alive, and will say so from now on.
    Heartbeat,
    /// It leaves.
    Bye(ByteString),
    /// Something that is not understood.
    Nonsense(String),
}

/// What a connector is told.
#[derive(Debug)]
pub(crate) enum Say {
    /// Webhooks with their numbers.
    Deliver(Vec<(u64, Webhook)>),
    /// What a tap missed.
    Gap(Gap),
    /// A sign of life that wants an answer; writers that give signs of life by themselves leave it out.
    Ping(u64),
    /// The answer to a ping.
    Pong(u64),
    /// The receiver leaves.
    Bye(String),
}

/// The listening side of a transport.
pub(crate) trait Ear: Send {
    /// Whether settlements can come this way while the receiver stops.
    const SETTLES: bool;

    /// Waits for what the connector says. Cancelling loses nothing.
    fn hear(&mut self) -> impl Future<Output = Result<Vec<Said>, End>> + Send;
}

/// What a connector asked for when it connected.
pub(crate) struct Wish {
    /// Names the connection.
    pub(crate) connection: String,
    /// The connector's own name; may be empty.
    pub(crate) connector: String,
    /// Its window, before the channel's bounds it.
    pub(crate) window: Window,
    /// What it can carry; none means every webhook.
    pub(crate) carries: Option<Carries>,
    /// Whether it is expected to give signs of life.
    pub(crate) lively: bool,
    /// Whether it only watches.
    pub(crate) tap: bool,
}

/// Where a session's webhooks come from.
enum Source {
    /// It shares them with other sessions, and settles what it gets.
    Share(Subscription),
    /// It sees all of them, and its settlements count for nobody.
    Watch(Tap),
}

/// What the names of connections begin with that only watch: what they acknowledge counts for nobody.
pub(crate) const TAP: &str = "tap_";

/// Makes a name for a connection.
pub(crate) fn name(prefix: &str) -> String {
    Id::new().to_string().replacen("msg_", prefix, 1)
}

/// One connector's session.
pub(crate) struct Session {
    channel: Arc<Channel>,
    source: Source,
    holder: Arc<Holder>,
    stop: watch::Receiver<bool>,
    /// Cancelled when the time for settling is over.
    cut: CancellationToken,
    out: mpsc::Sender<Say>,
    /// Webhooks that no message has taken yet.
    waiting: VecDeque<Event>,
    /// What a tap missed before these.
    missed: Option<Missed>,
    not_understood: Counter,
    complained: bool,
}

impl Session {
    /// Claims the connector's window.
    ///
    /// # Errors
    /// The channel's buffer has ended.
    pub(crate) async fn begin(
        wish: Wish,
        channel: &Arc<Channel>,
        shared: &Shared,
        out: mpsc::Sender<Say>,
    ) -> Result<Self, End> {
        let Wish { connection, connector, window, carries, lively, tap } = wish;
        let limits = &channel.limits;
        let window = window.min(limits.window());
        let (name, most) = (connection.clone(), limits.max_in_flight);
        let source = if tap {
            channel.supply.tap().await.map(Source::Watch)
        } else {
            channel.supply.attach_limited(name, window, most, carries).await.map(Source::Share)
        };
        let source = source.map_err(|_| End::Gone)?;
        shared.meter.counter(Metric::Connections, &channel.name, "").add(1);
        let named = Some(connector).filter(|name| !name.is_empty());
        info!(channel = channel.name, session = connection, connector = named, tap, "a connector is here");
        let holder = Arc::new(Holder::new(connection, lively));
        channel.holders.enter(&holder);
        Ok(Self {
            not_understood: shared.meter.counter(Metric::NotUnderstood, &channel.name, ""),
            complained: false,
            channel: Arc::clone(channel),
            source,
            holder,
            stop: channel.stop.clone(),
            cut: channel.cut.clone(),
            out,
            waiting: VecDeque::new(),
            missed: None,
        })
    }

    /// Serves the connector until either end leaves.
    pub(crate) async fn serve<E: Ear>(mut self, ear: &mut E) -> End {
        let end = self.serve_on(ear).await;
        self.holder.release_all();
        end
    }

    async fn serve_on<E: Ear>(&mut self, ear: &mut E) -> End {
        let heartbeat = self.channel.limits.heartbeat();
        let mut beats = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        let out = self.out.clone();
        loop {
            let stopping = *self.stop.borrow();
            let holds_nothing = self.holder.held().events == 0 && self.waiting.is_empty();
            let is_tap = matches!(self.source, Source::Watch(_));
            if stopping && (holds_nothing || is_tap || !E::SETTLES) {
                return End::Stopping;
            }
            tokio::select! {
                biased;
                said = ear.hear() => match said {
                    Ok(said) => for one in said {
                        if let Err(end) = self.on_said(one).await {
                            return end;
                        }
                    },
                    Err(end) => return end,
                },
                () = out.closed() => return End::Closed,
                _ = beats.tick() => {
                    if self.holder.is_silent(2 * heartbeat) {
                        return End::Silent;
                    }
                    // A full queue of messages is a sign of life by itself.
                    drop(self.out.try_send(Say::Ping(0)));
                }
                () = self.cut.cancelled() => return End::Stopping,
                // The change itself is looked at above.
                _ = self.stop.changed(), if !stopping => {}
                permit = out.reserve(), if !self.waiting.is_empty() || self.missed.is_some() => {
                    let Ok(permit) = permit else { return End::Closed };
                    permit.send(match self.missed.take() {
                        Some(Missed { count, first, last }) => Say::Gap(Gap { missed: count, first, last }),
                        None => Say::Deliver(self.pack()),
                    });
                }
                taken = self.source.take(), if !stopping && self.waiting.is_empty() && self.missed.is_none() => {
                    let Some((missed, events)) = taken else { return End::Gone };
                    self.missed = missed;
                    self.waiting.extend(events);
                }
            }
        }
    }

    async fn on_said(&mut self, said: Said) -> Result<(), End> {
        self.holder.hear();
        match said {
            Said::Settle(which, outcome) => self.settle(&which, outcome).await?,
            Said::Progress(which) => {
                self.holder.progress(&which);
            }
            Said::Window(window) => {
                if let Source::Share(subscription) = &self.source {
                    subscription.set_window(window.min(self.channel.limits.window()));
                }
            }
            // A full queue of messages is answer enough.
            Said::Ping(n) => drop(self.out.try_send(Say::Pong(n))),
            Said::Life => {}
            Said::Heartbeat => self.holder.expect_life(),
            Said::Bye(why) => return Err(End::Bye(why)),
            Said::Nonsense(what) => self.complain(&what),
        }
        Ok(())
    }

    /// Settles what the connector reported. What it does not hold may be another connection's of the same channel when it
    /// is named by its message id; else it is counted and means nothing.
    async fn settle(&mut self, which: &Which, outcome: Outcome) -> Result<(), End> {
        if matches!(self.source, Source::Watch(_)) {
            return Ok(());
        }
        let known = match which {
            Which::Seqs(_) => self.holder.settle(which, &outcome),
            Which::Message(id) => self.channel.settle(*id, outcome).await.map_err(|_| End::Gone)?,
        };
        if !known {
            self.complain("a settlement of a webhook that is not in flight");
        }
        Ok(())
    }

    /// Counts what was not understood, and says so once per connection.
    fn complain(&mut self, what: &str) {
        self.not_understood.add(1);
        if !std::mem::replace(&mut self.complained, true) {
            warn!(
                channel = self.channel.name,
                what, "a connector sent something that is ignored; further ones are only counted"
            );
        }
    }

    /// Takes as many webhooks as fit into one message; at least one.
    fn pack(&mut self) -> Vec<(u64, Webhook)> {
        let (mut deliveries, mut bytes) = (Vec::with_capacity(self.waiting.len()), DELIVER_OVERHEAD);
        while let Some(event) = self.waiting.front() {
            bytes += DELIVERY_OVERHEAD + record::encoded_len(&event.webhook);
            if !deliveries.is_empty() && bytes > LARGEST_FRAME {
                break;
            }
            let Some(event) = self.waiting.pop_front() else { break };
            deliveries.push(match &self.source {
                Source::Share(_) => self.holder.hold(event),
                Source::Watch(_) => (self.holder.number(), event.webhook),
            });
        }
        deliveries
    }
}

impl Source {
    /// Waits for webhooks and what was missed before them; none once the buffer has ended. Cancelling loses nothing.
    async fn take(&mut self) -> Option<(Option<Missed>, Vec<Event>)> {
        match self {
            Self::Share(subscription) => {
                let mut events = Vec::new();
                let taken = subscription.events.recv_many(&mut events, BATCH).await;
                (taken > 0).then_some((None, events))
            }
            Self::Watch(tap) => {
                let watched = tap.next(BATCH, TAP_BYTES).await?;
                // Nobody waits for what becomes of them.
                let event = |webhook| Event { webhook, ack: Ack::waiter().0 };
                Some((watched.missed, watched.webhooks.into_iter().map(event).collect()))
            }
        }
    }
}

/// Says in the log why a session ended.
pub(crate) fn log_end(end: &End, channel: &Channel, session: &str) {
    match end {
        End::Bye(_) | End::Closed | End::Stopping => {
            info!(channel = channel.name, session, why = %end, "a connector left");
        }
        End::Broken(_) | End::NoHello | End::Silent | End::Gone => {
            warn!(channel = channel.name, session, why = %end, "a connector was lost");
        }
    }
}
