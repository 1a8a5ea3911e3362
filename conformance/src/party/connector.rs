//! A connector that does what a case tells it, over the native dialect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::{TokioAdapter, client_async};
use engine::ack::{Cause, Outcome, Reason};
use engine::ledger::Window;
use engine::webhook::{Id, Webhook};
use futures::StreamExt;
use schemas::wire::SUBPROTOCOL;
use schemas::wire::frame::{Delivery, Frame, Returned, Settle};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message};

use crate::case::Failed;

/// The bytes of every window, which cases leave wide.
const BYTES: usize = 64 << 20;

/// A connection to a channel. Dropping it cuts the connection without a word.
#[derive(Debug)]
pub struct Link {
    socket: WebSocketStream<TokioAdapter<TcpStream>>,
    waiting: VecDeque<Delivery>,
    session: String,
}

impl Link {
    /// Connects to `channel` with a window in webhooks.
    ///
    /// # Errors
    /// It is refused.
    pub async fn connect(
        address: SocketAddr,
        channel: &str,
        token: &str,
        window: usize,
    ) -> Result<Self, Failed> {
        let mut request = format!("ws://{address}/connect/stream/{channel}").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = client_async(request, stream).await.map_err(|error| match error {
            Error::Http(answer) => Failed(format!("the upgrade was answered {}", answer.status())),
            other => Failed(other.to_string()),
        })?;
        let mut link = Self { socket, waiting: VecDeque::new(), session: String::new() };
        let window = Window { events: window, bytes: BYTES };
        link.send(Frame::Hello { window, connector: "conformance".into(), tap: false }).await?;
        match link.frame(Duration::from_secs(5)).await? {
            Some(Frame::Welcome { session, .. }) => link.session = session.to_string(),
            other => return Err(Failed(format!("expected Welcome, found {other:?}"))),
        }
        Ok(link)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, frame: Frame) -> Result<(), Failed> {
        Ok(self.socket.send(Message::Binary(frame.encode())).await?)
    }

    /// Waits up to `most` for a webhook; none when none came.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn maybe(&mut self, most: Duration) -> Result<Option<Delivery>, Failed> {
        let end = Instant::now() + most;
        loop {
            if let Some(delivery) = self.waiting.pop_front() {
                return Ok(Some(delivery));
            }
            match self.frame(end.saturating_duration_since(Instant::now())).await? {
                Some(Frame::Deliver(deliveries)) => self.waiting.extend(deliveries),
                Some(_) => {}
                None => return Ok(None),
            }
        }
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
        let returned =
            Returned { seq: delivery.seq, cause, delay, reason: Reason::new("given back by the case") };
        self.send(Frame::Settle(Settle { returned: vec![returned], ..Settle::default() })).await
    }

    /// Rejects a webhook for good.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn reject(&mut self, delivery: &Delivery, reason: &str) -> Result<(), Failed> {
        let rejected = vec![(delivery.seq, Reason::new(reason))];
        self.send(Frame::Settle(Settle { rejected, ..Settle::default() })).await
    }

    /// Says that a webhook of any session was delivered.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn deliver_earlier(&mut self, id: Id) -> Result<(), Failed> {
        let earlier = vec![(id, Outcome::Delivered)];
        self.send(Frame::Settle(Settle { earlier, ..Settle::default() })).await
    }

    /// Says that a webhook is still being worked on.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn progress(&mut self, delivery: &Delivery) -> Result<(), Failed> {
        self.send(Frame::Progress(vec![delivery.seq..=delivery.seq])).await
    }

    /// Waits up to `most` for a frame, answering pings on the way.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn frame(&mut self, most: Duration) -> Result<Option<Frame>, Failed> {
        let end = Instant::now() + most;
        loop {
            let Ok(message) = tokio::time::timeout_at(end, self.socket.next()).await else { return Ok(None) };
            let message =
                message.ok_or_else(|| Failed("the receiver closed the connection".to_owned()))??;
            match message {
                Message::Binary(bytes) => match Frame::decode(bytes)? {
                    Frame::Ping(n) => self.send(Frame::Pong(n)).await?,
                    frame => return Ok(Some(frame)),
                },
                Message::Close(_) => return Err(Failed("the receiver closed the connection".to_owned())),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

/// Returns a header of a webhook as text.
#[must_use]
pub fn header(webhook: &Webhook, name: &str) -> String {
    let value = webhook.head.headers.get(name).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}
