//! A connector that does what a case tells it, over any transport.

use std::collections::VecDeque;
use std::time::Duration;

use ::http::Request;
use ::http::header::HOST;
use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{TokioAdapter, client_async};
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::Window;
use engine::webhook::{Id, Webhook};
use futures::StreamExt;
use http_body_util::Full;
use schemas::wire::compatible::{FromConnector, FromReceiver, TAP_HEADER, WINDOW_HEADER};
use schemas::wire::frame::{Delivery, Frame, Returned, Settle};
use schemas::wire::{SUBPROTOCOL, VERSION, VERSION_HEADER};
use tokio::time::Instant;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message};

use crate::case::{Failed, ensure_eq};
use crate::party::compatible::{self, Announced, Events, Poll};
use crate::party::http;
use crate::party::post::{Posted, Whose};
use crate::party::site::{Site, Wire};
use crate::party::transport::Transport;

/// The bytes of every window, which cases leave wide.
const BYTES: usize = 64 << 20;

/// How long a webhook of somebody else is put off, so that the suite does not meet it again and it is not lost.
const PUT_OFF: Duration = Duration::from_secs(60);

/// A connection to a channel. Dropping it cuts the connection without a word.
#[derive(Debug)]
pub struct Link {
    way: Way,
    waiting: VecDeque<Delivery>,
    site: Site,
    token: String,
    missed: u64,
    /// The connection's name, as the receiver gave it.
    connection: String,
    is_tap: bool,
    /// What is this case's, on a channel that others post to as well; none on a channel of its own.
    own: Option<Posted>,
    put_off: usize,
    greeting: Option<Greeting>,
}

/// What a receiver says of a channel when it greets natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// How often signs of life are exchanged.
    pub heartbeat: Duration,
    /// When a webhook that nobody settles is delivered again.
    pub ack_deadline: Duration,
}

type Socket = WebSocketStream<TokioAdapter<Wire>>;

#[derive(Debug)]
enum Way {
    Native(Socket),
    Text(Socket),
    Events(Events),
    Poll(Poll),
}

impl Link {
    /// Connects to `channel` with a window in webhooks, natively.
    ///
    /// # Errors
    /// It is refused.
    pub async fn connect(
        site: impl Into<Site>,
        channel: &str,
        token: &str,
        window: usize,
    ) -> Result<Self, Failed> {
        Self::open(Transport::WebSocket, site, channel, token, window).await
    }

    /// Connects to `channel` with a window in webhooks.
    ///
    /// # Errors
    /// It is refused.
    pub async fn open(
        transport: Transport,
        site: impl Into<Site>,
        channel: &str,
        token: &str,
        window: usize,
    ) -> Result<Self, Failed> {
        Self::begin(transport, site.into(), channel, (token, window, false)).await
    }

    /// Connects to `channel` as a tap.
    ///
    /// # Errors
    /// It is refused.
    pub async fn tap(
        transport: Transport,
        site: impl Into<Site>,
        channel: &str,
        token: &str,
    ) -> Result<Self, Failed> {
        Self::begin(transport, site.into(), channel, (token, 100, true)).await
    }

    async fn begin(
        transport: Transport,
        site: Site,
        channel: &str,
        (token, window, tap): (&str, usize, bool),
    ) -> Result<Self, Failed> {
        let announced = Announced { token, window, tap };
        let way = match transport {
            Transport::WebSocket => Way::Native(upgrade(&site, channel, announced, true).await?),
            Transport::WebSocketCompatible => Way::Text(upgrade(&site, channel, announced, false).await?),
            Transport::Sse => Way::Events(Events::open(&site, channel, announced).await?),
            Transport::LongPoll => Way::Poll(Poll::new(site.clone(), channel, announced)),
        };
        let mut link = Self {
            way,
            waiting: VecDeque::new(),
            site,
            token: token.to_owned(),
            missed: 0,
            connection: "none".to_owned(),
            is_tap: tap,
            own: None,
            put_off: 0,
            greeting: None,
        };
        link.greet(window, tap).await?;
        Ok(link)
    }

    async fn greet(&mut self, window: usize, tap: bool) -> Result<(), Failed> {
        let most = Duration::from_secs(5);
        match &mut self.way {
            Way::Native(_) => {
                let window = Window { events: window, bytes: BYTES };
                self.send(Frame::Hello { window, connector: "conformance".into(), tap }).await?;
                match self.frame(most).await? {
                    Some(Frame::Welcome { heartbeat, ack_deadline, .. }) => {
                        self.greeting = Some(Greeting { heartbeat, ack_deadline });
                        Ok(())
                    }
                    other => Err(Failed(format!("expected Welcome, found {other:?}"))),
                }
            }
            Way::Text(_) | Way::Events(_) => match self.message(most).await? {
                Some(FromReceiver::Connected { connection, .. }) => {
                    self.connection = connection.to_string();
                    Ok(())
                }
                other => Err(Failed(format!("expected `connected`, found {other:?}"))),
            },
            Way::Poll(_) => Ok(()),
        }
    }

    /// Waits up to `most` for a message of the compatible dialect.
    async fn message(&mut self, most: Duration) -> Result<Option<FromReceiver>, Failed> {
        let end = Instant::now() + most;
        match &mut self.way {
            Way::Native(_) => Err(Failed("a native connection has frames".to_owned())),
            Way::Events(events) => events.next(most).await,
            Way::Poll(poll) => {
                let found = poll.next(most).await?;
                self.connection.clone_from(&poll.connection);
                Ok(found)
            }
            Way::Text(socket) => loop {
                let Ok(message) = tokio::time::timeout_at(end, socket.next()).await else { return Ok(None) };
                match message.ok_or_else(closed)?? {
                    Message::Text(text) => return Ok(Some(FromReceiver::decode(&text)?)),
                    Message::Close(_) => return Err(closed()),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            },
        }
    }

    /// Says something in the compatible dialect.
    async fn say(&mut self, told: FromConnector) -> Result<(), Failed> {
        match &mut self.way {
            Way::Native(_) => Err(Failed("a native connection has frames".to_owned())),
            Way::Text(socket) => Ok(socket.send(Message::Text(compatible::text(&told).into())).await?),
            Way::Events(_) | Way::Poll(_) => {
                let status = compatible::say(&self.site, &self.token, &self.connection, &told).await?;
                if status == 200 { Ok(()) } else { Err(Failed(format!("answered {status}"))) }
            }
        }
    }

    /// Polls once, on long poll: for how many seconds, for how many webhooks.
    ///
    /// # Errors
    /// It is refused, or this is another transport.
    pub async fn poll(&self, seconds: u64, messages: usize) -> Result<Vec<Delivery>, Failed> {
        let Way::Poll(poll) = &self.way else { return Err(Failed("not long poll".to_owned())) };
        let polled = poll.poll(seconds, messages).await?;
        let webhooks = polled.map(|polled| polled.webhooks).unwrap_or_default();
        Ok(webhooks.into_iter().map(|received| Delivery { seq: 0, webhook: received.webhook }).collect())
    }

    /// Sends a text that means nothing; only on a WebSocket.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<(), Failed> {
        match &mut self.way {
            Way::Native(socket) | Way::Text(socket) => {
                Ok(socket.send(Message::Text(text.to_owned().into())).await?)
            }
            Way::Events(_) | Way::Poll(_) => Ok(()),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, frame: Frame) -> Result<(), Failed> {
        match &mut self.way {
            Way::Native(socket) => Ok(socket.send(Message::Binary(frame.encode())).await?),
            Way::Text(_) | Way::Events(_) | Way::Poll(_) => Err(Failed("frames are native".to_owned())),
        }
    }

    /// Takes only what `posted` knows: what another case of the run left is settled, what is somebody else's is given
    /// back, to come again later.
    #[must_use]
    pub fn taking(mut self, posted: Posted) -> Self {
        if posted.mark().is_some() {
            if let Way::Poll(poll) = &mut self.way {
                poll.name = posted.poller();
            }
            self.own = Some(posted);
        }
        self
    }

    /// Returns how many webhooks of somebody else were given back.
    #[must_use]
    pub fn put_off(&self) -> usize {
        self.put_off
    }

    /// Returns what the receiver said of the channel; none in the compatible dialect.
    #[must_use]
    pub fn greeting(&self) -> Option<Greeting> {
        self.greeting
    }

    /// Waits up to `most` for a webhook of this case; none when none came.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn maybe(&mut self, most: Duration) -> Result<Option<Delivery>, Failed> {
        let end = Instant::now() + most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(delivery) = self.any(left).await? else { return Ok(None) };
            match self.own.as_ref().map_or(Whose::Own, |own| own.whose(&delivery.webhook)) {
                Whose::Own => return Ok(Some(delivery)),
                Whose::Earlier | Whose::Stranger if self.is_tap => {}
                Whose::Earlier => self.deliver(&delivery).await?,
                Whose::Stranger => {
                    self.put_off += 1;
                    self.give_back(&delivery, Cause::Unreachable, Some(PUT_OFF)).await?;
                }
            }
        }
    }

    /// Waits up to `most` for a webhook, whose ever it is; none when there is none by then.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn any(&mut self, most: Duration) -> Result<Option<Delivery>, Failed> {
        let end = Instant::now() + most;
        loop {
            if let Some(delivery) = self.waiting.pop_front() {
                return Ok(Some(delivery));
            }
            let left = end.saturating_duration_since(Instant::now());
            if !matches!(self.way, Way::Native(_)) {
                match self.message(left).await? {
                    Some(FromReceiver::Webhook(received)) => {
                        self.waiting.push_back(Delivery { seq: 0, webhook: received.webhook });
                    }
                    Some(FromReceiver::Gap(gap)) => self.missed += gap.missed,
                    Some(_) => {}
                    None => return Ok(None),
                }
                continue;
            }
            match self.frame(left).await? {
                Some(Frame::Deliver(deliveries)) => self.waiting.extend(deliveries),
                Some(Frame::Gap { missed, .. }) => self.missed += missed,
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Returns how many webhooks this tap was told it missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Waits for a webhook.
    ///
    /// # Errors
    /// None came within `most`, or the connection is gone.
    pub async fn next(&mut self, most: Duration) -> Result<Delivery, Failed> {
        let found = self.maybe(most).await?;
        found.ok_or_else(|| Failed(format!("no webhook came within {most:?}")))
    }

    /// Says that a webhook was delivered.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn deliver(&mut self, delivery: &Delivery) -> Result<(), Failed> {
        if !matches!(self.way, Way::Native(_)) {
            let message = delivery.webhook.id().to_string().into();
            return self.say(FromConnector::Settle { message, outcome: Outcome::Delivered }).await;
        }
        let range = delivery.seq..=delivery.seq;
        self.send(Frame::Settle(Settle { delivered: vec![range], ..Settle::default() })).await
    }

    /// Gives a webhook back.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn give_back(
        &mut self,
        delivery: &Delivery,
        cause: Cause,
        delay: Option<Duration>,
    ) -> Result<(), Failed> {
        let reason = Reason::new("given back by the case");
        if !matches!(self.way, Way::Native(_)) {
            let message = delivery.webhook.id().to_string().into();
            return self
                .say(FromConnector::Settle {
                    message,
                    outcome: Outcome::Abandoned { delay, cause, reason: Some(reason) },
                })
                .await;
        }
        let returned = Returned { seq: delivery.seq, cause, delay, reason };
        self.send(Frame::Settle(Settle { returned: vec![returned], ..Settle::default() })).await
    }

    /// Rejects a webhook for good.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn reject(&mut self, delivery: &Delivery, reason: &str) -> Result<(), Failed> {
        if !matches!(self.way, Way::Native(_)) {
            let message = delivery.webhook.id().to_string().into();
            return self
                .say(FromConnector::Settle {
                    message,
                    outcome: Outcome::Failed { reason: Reason::new(reason) },
                })
                .await;
        }
        let rejected = vec![(delivery.seq, Reason::new(reason))];
        self.send(Frame::Settle(Settle { rejected, ..Settle::default() })).await
    }

    /// Says that a webhook of any session was delivered.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn deliver_earlier(&mut self, id: Id) -> Result<(), Failed> {
        if !matches!(self.way, Way::Native(_)) {
            let message = id.to_string().into();
            return self.say(FromConnector::Settle { message, outcome: Outcome::Delivered }).await;
        }
        let earlier = vec![(id, Outcome::Delivered)];
        self.send(Frame::Settle(Settle { earlier, ..Settle::default() })).await
    }

    /// Says that a webhook is still being worked on.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn progress(&mut self, delivery: &Delivery) -> Result<(), Failed> {
        if !matches!(self.way, Way::Native(_)) {
            return self
                .say(FromConnector::Progress { message: delivery.webhook.id().to_string().into() })
                .await;
        }
        self.send(Frame::Progress(vec![delivery.seq..=delivery.seq])).await
    }

    /// Gives a sign of life, and answers what the receiver asked meanwhile. A webhook that came is kept.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn keep_alive(&mut self) -> Result<(), Failed> {
        match &mut self.way {
            Way::Native(_) => self.send(Frame::Ping(0)).await?,
            Way::Text(_) => self.say(FromConnector::Heartbeat).await?,
            Way::Events(_) => {
                let request = Request::post("/connect/heartbeat")
                    .header("host", "localhost")
                    .header("authorization", format!("Bearer {}", self.token))
                    .header("x-connection-id", &self.connection);
                let answer = http::send(&self.site, request.body(Full::default())?).await?;
                ensure_eq("the answer to a heartbeat", &answer.status.as_u16(), &200)?;
            }
            Way::Poll(_) => return Ok(()),
        }
        let moment = Duration::from_millis(10);
        if let Some(delivery) = self.any(moment).await? {
            self.waiting.push_back(delivery);
        }
        Ok(())
    }

    /// Waits up to `most` for a frame, answering pings on the way.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn frame(&mut self, most: Duration) -> Result<Option<Frame>, Failed> {
        let end = Instant::now() + most;
        loop {
            let Way::Native(socket) = &mut self.way else {
                return Err(Failed("frames are native".to_owned()));
            };
            let Ok(message) = tokio::time::timeout_at(end, socket.next()).await else { return Ok(None) };
            let message = message.ok_or_else(closed)??;
            match message {
                Message::Binary(bytes) => match Frame::decode(bytes)? {
                    Frame::Ping(n) => self.send(Frame::Pong(n)).await?,
                    frame => return Ok(Some(frame)),
                },
                Message::Close(_) => return Err(closed()),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

async fn upgrade(
    site: &Site,
    channel: &str,
    announced: Announced<'_>,
    is_native: bool,
) -> Result<Socket, Failed> {
    let Announced { token, window, tap } = announced;
    let mut request = format!("ws://{}/connect/stream/{channel}", site.address()).into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    if is_native {
        headers.insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    } else {
        headers.insert(VERSION_HEADER, VERSION.parse()?);
        headers.insert(WINDOW_HEADER, format!("{window};{BYTES}").parse()?);
        headers.insert(TAP_HEADER, u16::from(tap).into());
    }
    if let Some(host) = site.host() {
        headers.insert(HOST, host.clone());
    }
    let (socket, _) = client_async(request, site.connect().await?).await.map_err(|error| match error {
        Error::Http(answer) => Failed(format!("the upgrade was answered {}", answer.status())),
        other => Failed(other.to_string()),
    })?;
    Ok(socket)
}

fn closed() -> Failed {
    Failed("the receiver closed the connection".to_owned())
}

/// Returns a header of a webhook as text.
#[must_use]
pub fn header(webhook: &Webhook, name: &str) -> String {
    let value = webhook.head.headers.get(name).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
