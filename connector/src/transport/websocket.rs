//! One WebSocket connection, moving one frame each way at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use bytes::Bytes;
use futures::{Sink, Stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use schemas::wire::LARGEST_FRAME;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, error::Error};

use super::dial::{ConnectError, Dialer};

type Socket = WebSocketStream<TokioAdapter<Listening>>;

/// A WebSocket connection.
pub(crate) struct Link {
    socket: Socket,
    outgoing: Outgoing,
    heard: Arc<Mutex<Instant>>,
}

/// A byte stream that notes when something was read: on a slow line a large message takes longer than two heartbeats, and
/// each of its bytes is a sign of life.
struct Listening {
    stream: TokioIo<Upgraded>,
    heard: Arc<Mutex<Instant>>,
}

/// Where the frame being sent stands.
enum Outgoing {
    Nothing,
    Ready(Bytes),
    Flushing,
}

/// What happened on a link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The frame given to [`Link::start`] was written.
    Sent,
    /// A message arrived.
    Received(Bytes),
    /// A text arrived, which no frame is.
    ReceivedText,
    /// A sign of life beneath the frames arrived.
    Alive,
    /// The connection is over, and why.
    Ended(String),
}

impl Link {
    /// Connects. Cancelling drops the connection.
    ///
    /// # Errors
    /// Why no connection came about.
    pub(crate) async fn connect(dialer: &Dialer) -> Result<Self, ConnectError> {
        match dialer.upgrade(true).await? {
            (upgraded, true) => Ok(Self::new(upgraded).await),
            (_, false) => Err(ConnectError::Wrong("it does not select the protocol webhook-connect.v1")),
        }
    }

    async fn new(upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_FRAME))
            .max_frame_size(Some(LARGEST_FRAME));
        let heard = Arc::new(Mutex::new(Instant::now()));
        let stream = Listening { stream: TokioIo::new(upgraded), heard: Arc::clone(&heard) };
        let socket =
            WebSocketStream::from_raw_socket(TokioAdapter::new(stream), Role::Client, Some(config)).await;
        Self { socket, outgoing: Outgoing::Nothing, heard }
    }

    /// Returns when something of the peer was read last, parts of messages included.
    pub(crate) fn heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true when nothing is being sent.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.outgoing, Outgoing::Nothing)
    }

    /// Begins to send `frame`. Only for an idle link.
    pub(crate) fn start(&mut self, frame: Bytes) {
        self.outgoing = Outgoing::Ready(frame);
    }

    /// Waits for the next thing to happen; with `read` false, nothing is read. Cancelling loses nothing.
    pub(crate) async fn turn(&mut self, read: bool) -> Turn {
        std::future::poll_fn(|cx| self.poll_turn(read, cx)).await
    }

    /// Says goodbye beneath the frames. Cancelling leaves the peer to notice by itself.
    pub(crate) async fn close(mut self) {
        // The peer may be gone already, which is its own business.
        drop(self.socket.close(None).await);
    }

    fn poll_turn(&mut self, read: bool, cx: &mut Context<'_>) -> Poll<Turn> {
        if let Poll::Ready(written) = self.poll_write(cx) {
            return Poll::Ready(written.map_or_else(|error| ended(&error), |()| Turn::Sent));
        }
        if !read {
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_next(cx).map(|message| match message {
            Some(Ok(Message::Binary(bytes))) => Turn::Received(bytes),
            Some(Ok(Message::Text(_))) => Turn::ReceivedText,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Turn::Alive,
            Some(Ok(Message::Close(Some(close)))) if !close.reason.is_empty() => {
                Turn::Ended(format!("the receiver closed the connection: {}", close.reason))
            }
            Some(Ok(Message::Close(_))) => Turn::Ended("the receiver closed the connection".to_owned()),
            Some(Err(error)) => ended(&error),
            None => Turn::Ended("the connection ended".to_owned()),
        })
    }

    /// Ready when a frame was written; pending when there is none.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(&mut self.socket);
        if let Outgoing::Ready(frame) = &self.outgoing {
            std::task::ready!(socket.as_mut().poll_ready(cx))?;
            socket.as_mut().start_send(Message::Binary(frame.clone()))?;
            self.outgoing = Outgoing::Flushing;
        }
        if matches!(self.outgoing, Outgoing::Flushing) {
            std::task::ready!(socket.as_mut().poll_flush(cx))?;
            self.outgoing = Outgoing::Nothing;
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
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
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
