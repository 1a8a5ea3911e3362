//! One connector's session on one channel.
//!
//! The session keeps each webhook's ack under its own number for it and settles it when the connector says so. When the
//! connection ends it drops them all, which returns the webhooks to the channel at once. Writing has a task of its own, so
//! that a connector which does not read cannot keep its settlements from being read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use bytestring::ByteString;
use engine::ack::{Ack, Outcome};
use engine::ledger::Window;
use engine::meter::{Counter, Metric};
use engine::record;
use engine::supply::Subscription;
use engine::webhook::{Event, Id};
use futures::StreamExt;
use schemas::wire::LARGEST_FRAME;
use schemas::wire::frame::{DELIVER_OVERHEAD, DELIVERY_OVERHEAD, Delivery, Frame, Settle};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use tungstenite::Message;

use crate::channel::Channel;
use crate::listener::Shared;
use crate::transport::websocket::{Socket, Transport};

/// How long a connector may take for its first frame.
const HELLO: Duration = Duration::from_secs(10);

/// How long the last frame may take to be written.
const GOODBYE: Duration = Duration::from_secs(2);

/// Frames that wait to be written.
const WRITING: usize = 4;

/// Webhooks of one frame at most.
const BATCH: usize = 256;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
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
    #[error("the receiver is stopping")]
    Stopping,
}

/// Speaks with one connector until either end leaves.
pub(crate) async fn run(socket: Socket, channel: Arc<Channel>, shared: Arc<Shared>) {
    let id = Id::new().to_string().replacen("msg_", "ses_", 1);
    let (sink, mut stream) = socket.split();
    let (out, frames) = mpsc::channel(WRITING);
    // Ended with this session, whatever it waits for: a connector that does not read keeps nothing here.
    let mut writer = AbortOnDropHandle::new(tokio::spawn(write(sink, frames)));
    let connections = shared.meter.counter(Metric::Connections, &channel.name, "");
    let end = match greet(&mut stream, &out, &channel, &id).await {
        Ok((subscription, connector)) => {
            connections.add(1);
            let connector = Some(&*connector).filter(|name| !name.is_empty());
            info!(channel = channel.name, session = id, connector, "a connector is here");
            let mut session = Session {
                not_understood: shared.meter.counter(Metric::NotUnderstood, &channel.name, ""),
                complained: false,
                channel: Arc::clone(&channel),
                subscription,
                stop: shared.stop.clone(),
                cut: shared.cut.clone(),
                out: out.clone(),
                next: 0,
                waiting: VecDeque::new(),
                held: BTreeMap::new(),
                heard: Instant::now(),
            };
            session.serve(&mut stream).await
        }
        Err(end) => end,
    };
    match &end {
        End::Bye(_) | End::Closed | End::Stopping => {
            info!(channel = channel.name, session = id, why = %end, "a connector left");
        }
        End::Broken(_) | End::NoHello | End::Silent | End::Gone => {
            warn!(channel = channel.name, session = id, why = %end, "a connector was lost");
        }
    }
    let goodbye = Frame::Bye(end.to_string().as_str().into());
    drop(tokio::time::timeout(GOODBYE, out.send(goodbye)).await);
    drop(out);
    if tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        warn!(channel = channel.name, session = id, "the last frames could not be written in time");
    }
}

type Stream = WebSocketReceiver<Transport>;

/// Takes the first frame, claims the connector's window and answers.
async fn greet(
    stream: &mut Stream,
    out: &mpsc::Sender<Frame>,
    channel: &Channel,
    id: &str,
) -> Result<(Subscription, ByteString), End> {
    let first = tokio::time::timeout(HELLO, stream.next()).await.map_err(|_| End::NoHello)?;
    let Some(Ok(Message::Binary(bytes))) = first else { return Err(End::NoHello) };
    let Ok(Frame::Hello { window, connector, tap: false }) = Frame::decode(bytes) else {
        return Err(End::NoHello);
    };
    let limits = &channel.limits;
    let window = window.min(limits.window());
    let attached = channel.supply.attach(id.to_owned(), window, limits.max_in_flight).await;
    let welcome = Frame::Welcome {
        session: id.into(),
        heartbeat: limits.heartbeat(),
        ack_deadline: limits.ack_timeout(),
        largest: u32::try_from(LARGEST_FRAME).unwrap_or(u32::MAX),
    };
    out.send(welcome).await.map_err(|_| End::Closed)?;
    Ok((attached.map_err(|_| End::Gone)?, connector))
}

/// Writes frames until nobody has any more, then closes.
async fn write(mut sink: WebSocketSender<Transport>, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if sink.send(Message::Binary(frame.encode())).await.is_err() {
            // The reading end sees the same and ends the session.
            return;
        }
    }
    // A connection that is broken is closed already.
    drop(sink.close(None).await);
}

struct Session {
    channel: Arc<Channel>,
    subscription: Subscription,
    stop: watch::Receiver<bool>,
    /// Cancelled when the time for finishing is over.
    cut: CancellationToken,
    out: mpsc::Sender<Frame>,
    /// The number of the next webhook.
    next: u64,
    /// Webhooks that no frame has taken yet.
    waiting: VecDeque<Event>,
    /// The acks of what the connector holds.
    held: BTreeMap<u64, Ack>,
    /// When the connector was last heard of.
    heard: Instant,
    not_understood: Counter,
    complained: bool,
}

impl Session {
    async fn serve(&mut self, stream: &mut Stream) -> End {
        let heartbeat = self.channel.limits.heartbeat();
        let mut beats = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        let mut batch = Vec::with_capacity(BATCH);
        let out = self.out.clone();
        loop {
            let stopping = *self.stop.borrow();
            if stopping && self.held.is_empty() && self.waiting.is_empty() {
                return End::Stopping;
            }
            tokio::select! {
                biased;
                message = stream.next() => match self.on_message(message).await {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                _ = beats.tick() => {
                    if self.heard.elapsed() > 2 * heartbeat {
                        return End::Silent;
                    }
                    // A full queue of frames is a sign of life by itself.
                    drop(self.out.try_send(Frame::Ping(self.next)));
                }
                () = self.cut.cancelled() => return End::Stopping,
                // The change itself is looked at above.
                _ = self.stop.changed(), if !stopping => {}
                permit = out.reserve(), if !self.waiting.is_empty() => {
                    let Ok(permit) = permit else { return End::Closed };
                    let frame = Frame::Deliver(pack(&mut self.waiting, &mut self.next, &mut self.held));
                    permit.send(frame);
                }
                taken = self.subscription.events.recv_many(&mut batch, BATCH), if self.waiting.is_empty() => {
                    if taken == 0 {
                        return End::Gone;
                    }
                    self.waiting.extend(batch.drain(..));
                }
            }
        }
    }

    async fn on_message(&mut self, message: Option<Result<Message, tungstenite::Error>>) -> Result<(), End> {
        let message = message.ok_or(End::Closed)?.map_err(|error| End::Broken(Box::new(error)))?;
        self.heard = Instant::now();
        match message {
            Message::Binary(bytes) => match Frame::decode(bytes) {
                Ok(frame) => self.on_frame(frame).await,
                Err(malformed) => {
                    self.complain(&malformed.to_string());
                    Ok(())
                }
            },
            Message::Close(_) => Err(End::Closed),
            Message::Text(_) => {
                self.complain("a text message");
                Ok(())
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn on_frame(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Settle(settle) => self.settle(settle).await?,
            Frame::Progress(ranges) => {
                for range in ranges {
                    self.held.range(range).for_each(|(_, ack)| ack.progress());
                }
            }
            Frame::Window(Window { events, bytes }) => {
                let window = Window { events, bytes }.min(self.channel.limits.window());
                self.subscription.set_window(window);
            }
            // A full queue of frames is answer enough.
            Frame::Ping(n) => drop(self.out.try_send(Frame::Pong(n))),
            Frame::Pong(_) => {}
            Frame::Bye(why) => return Err(End::Bye(why)),
            Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Deliver(_) | Frame::Gap { .. } => {
                self.complain("a frame that connectors do not send here");
            }
        }
        Ok(())
    }

    /// Settles what the connector reported. Numbers it does not hold are counted and mean nothing.
    async fn settle(&mut self, settle: Settle) -> Result<(), End> {
        for range in settle.delivered {
            let settled: Vec<u64> = self.held.range(range).map(|(seq, _)| *seq).collect();
            if settled.is_empty() {
                self.complain("a settlement of what it does not hold");
            }
            settled.into_iter().for_each(|seq| self.settle_one(seq, Outcome::Delivered));
        }
        for returned in settle.returned {
            let reason = Some(returned.reason).filter(|reason| !reason.as_str().is_empty());
            let outcome = Outcome::Abandoned { delay: returned.delay, cause: returned.cause, reason };
            self.settle_one(returned.seq, outcome);
        }
        for (seq, reason) in settle.rejected {
            self.settle_one(seq, Outcome::Failed { reason });
        }
        for (id, outcome) in settle.earlier {
            let known = self.channel.supply.settle(id, outcome).await.map_err(|_| End::Gone)?;
            if !known {
                self.complain("a settlement of a webhook that is not in flight");
            }
        }
        Ok(())
    }

    fn settle_one(&mut self, seq: u64, outcome: Outcome) {
        match self.held.remove(&seq) {
            Some(ack) => ack.settle(outcome),
            None => self.complain("a settlement of what it does not hold"),
        }
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
}

/// Takes as many webhooks as fit into one frame; at least one.
fn pack(waiting: &mut VecDeque<Event>, next: &mut u64, held: &mut BTreeMap<u64, Ack>) -> Vec<Delivery> {
    let (mut deliveries, mut bytes) = (Vec::with_capacity(waiting.len()), DELIVER_OVERHEAD);
    while let Some(event) = waiting.front() {
        bytes += DELIVERY_OVERHEAD + record::encoded_len(&event.webhook);
        if !deliveries.is_empty() && bytes > LARGEST_FRAME {
            break;
        }
        let Some(Event { webhook, ack }) = waiting.pop_front() else { break };
        deliveries.push(Delivery { seq: *next, webhook });
        held.insert(*next, ack);
        *next += 1;
    }
    deliveries
}
