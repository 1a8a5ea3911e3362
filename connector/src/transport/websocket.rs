//! One WebSocket connection, in either dialect.

use engine::clock;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use futures::{Sink, Stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use schemas::wire::LARGEST_FRAME;
use schemas::wire::compatible::{FromConnector, FromReceiver, LARGEST_TEXT};
use schemas::wire::frame::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, error::Error};

use super::Turn;
use super::compatible::{Compatible, until};
use super::dial::{ConnectError, Dialer};
use super::watch::{Signs, Watch};

type Socket = WebSocketStream<TokioAdapter<Listening>>;

/// A WebSocket connection.
pub(crate) struct WebSocket {
    socket: Socket,
    outgoing: Outgoing,
    dialect: Dialect,
    signs: Signs,
    /// There where the receiver may forget a connection without closing it.
    watch: Option<Watch>,
    /// Nothing is read any more.
    paused: bool,
}

/// What is spoken.
enum Dialect {
    Native,
    Compatible(Box<Compatible>),
}

/// A byte stream that notes when something was read: on a slow line a large message takes longer than two heartbeats, and
/// each of its bytes is a sign of life.
struct Listening {
    stream: TokioIo<Upgraded>,
    signs: Signs,
}

/// What is being sent.
#[derive(Default)]
struct Outgoing {
    messages: VecDeque<Message>,
    /// Whether something must still be flushed.
    flushing: bool,
    /// Whether a frame was given, whose end is reported.
    reports: bool,
}

impl WebSocket {
    /// Connects; with `native`, offers our own dialect. Cancelling drops the connection.
    ///
    /// # Errors
    /// Why no connection came about.
    pub(super) async fn connect(dialer: &Arc<Dialer>, native: bool) -> Result<Self, ConnectError> {
        let (upgraded, selected) = dialer.upgrade(native).await?;
        let signs = Signs::new();
        let (dialect, watch) = match selected {
            true => (Dialect::Native, None),
            false => {
                let watch = (!dialer.is_versioned()).then(|| Watch::start(dialer, &signs));
                let compatible = Compatible::new(dialer, signs.clone());
                (Dialect::Compatible(Box::new(compatible)), watch)
            }
        };
        let largest = if selected { LARGEST_FRAME } else { LARGEST_TEXT };
        let config = WebSocketConfig::default().max_message_size(Some(largest)).max_frame_size(Some(largest));
        let stream = Listening { stream: TokioIo::new(upgraded), signs: signs.clone() };
        let socket =
            WebSocketStream::from_raw_socket(TokioAdapter::new(stream), Role::Client, Some(config)).await;
        Ok(Self { socket, outgoing: Outgoing::default(), dialect, signs, watch, paused: false })
    }

    /// Returns true when it speaks the native dialect.
    pub(super) fn is_native(&self) -> bool {
        matches!(self.dialect, Dialect::Native)
    }

    pub(super) fn heartbeat(&self) -> Option<Duration> {
        (!self.is_native()).then(|| self.signs.heartbeat())
    }

    pub(super) fn heard(&self) -> Instant {
        if self.paused { Instant::now() } else { self.signs.heard() }
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.outgoing.reports && self.outgoing.messages.is_empty() && !self.outgoing.flushing
    }

    pub(super) fn start(&mut self, frame: &Frame) {
        let messages = match &mut self.dialect {
            Dialect::Native => VecDeque::from([Message::Binary(frame.encode())]),
            Dialect::Compatible(compatible) => {
                // One that does not know what a window is goes on sending; what is not read goes back with the connection.
                self.paused |= matches!(frame, Frame::Window(_)) && !compatible.is_versioned();
                compatible.tell(frame).iter().map(text).collect()
            }
        };
        self.outgoing = Outgoing { flushing: !messages.is_empty(), messages, reports: true };
    }

    pub(super) async fn turn(&mut self, read: bool) -> Turn {
        loop {
            self.start_what_is_due();
            let due = match &self.dialect {
                Dialect::Compatible(compatible) if self.is_idle() => compatible.next_due(),
                Dialect::Compatible(_) | Dialect::Native => None,
            };
            let Self { socket, outgoing, dialect, watch, .. } = self;
            let read = read && !self.paused;
            tokio::select! {
                biased;
                why = Watch::ended(watch) => return Turn::Ended(why),
                turn = std::future::poll_fn(|cx| poll_turn(socket, outgoing, dialect, read, cx)) => return turn,
                () = until(due) => {}
            }
        }
    }

    pub(super) async fn close(mut self) {
        // The peer may be gone already, which is its own business.
        drop(self.socket.close(None).await);
    }

    /// Begins to send what was held, if the link is idle.
    fn start_what_is_due(&mut self) {
        if !self.is_idle() {
            return;
        }
        if let Dialect::Compatible(compatible) = &mut self.dialect {
            let messages: VecDeque<Message> = compatible.due().iter().map(text).collect();
            self.outgoing = Outgoing { flushing: !messages.is_empty(), messages, reports: false };
        }
    }
}

fn text(told: &FromConnector) -> Message {
    Message::Text(told.encode(clock::now()).into())
}

fn poll_turn(
    socket: &mut Socket,
    outgoing: &mut Outgoing,
    dialect: &mut Dialect,
    read: bool,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    if let Poll::Ready(written) = poll_write(socket, outgoing, cx) {
        return Poll::Ready(written.map_or_else(|error| ended(&error), |()| Turn::Sent));
    }
    if !read {
        return Poll::Pending;
    }
    Pin::new(socket).poll_next(cx).map(|message| match message {
        Some(Ok(Message::Binary(bytes))) => match dialect {
            Dialect::Native => received(Frame::decode(bytes)),
            Dialect::Compatible(_) => {
                Turn::NotUnderstood("a binary message in the compatible dialect".to_owned())
            }
        },
        Some(Ok(Message::Text(text))) => match dialect {
            Dialect::Native => Turn::NotUnderstood("a text instead of a frame".to_owned()),
            Dialect::Compatible(compatible) => {
                received(FromReceiver::decode(text.as_str()).map(|said| compatible.hear(said)))
            }
        },
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Turn::Alive,
        Some(Ok(Message::Close(Some(close)))) if !close.reason.is_empty() => {
            Turn::Closed(format!("the receiver closed the connection: {}", close.reason))
        }
        Some(Ok(Message::Close(_))) => Turn::Closed("the receiver closed the connection".to_owned()),
        Some(Err(error)) => ended(&error),
        None => Turn::Ended("the connection ended".to_owned()),
    })
}

/// Ready when everything of a frame was written; pending when there is none.
fn poll_write(socket: &mut Socket, outgoing: &mut Outgoing, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    let mut socket = Pin::new(socket);
    while !outgoing.messages.is_empty() {
        std::task::ready!(socket.as_mut().poll_ready(cx))?;
        if let Some(message) = outgoing.messages.pop_front() {
            socket.as_mut().start_send(message)?;
        }
    }
    if outgoing.flushing {
        std::task::ready!(socket.as_mut().poll_flush(cx))?;
        outgoing.flushing = false;
    }
    if std::mem::take(&mut outgoing.reports) { Poll::Ready(Ok(())) } else { Poll::Pending }
}

fn received<E: std::fmt::Display>(frame: Result<Frame, E>) -> Turn {
    frame.map_or_else(|error| Turn::NotUnderstood(error.to_string()), Turn::Received)
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.signs.note();
        }
        polled
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn ended(error: &Error) -> Turn {
    Turn::Ended(format!("the connection broke: {error}"))
}
