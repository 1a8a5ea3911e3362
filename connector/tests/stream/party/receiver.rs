//! A receiver whose every frame the test decides.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use bytes::Bytes;
use engine::ack::Outcome;
use engine::ledger::Window;
use engine::webhook::{Head, Id, Webhook};
use futures::{AsyncWriteExt, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use schemas::wire::frame::{Delivery, Frame, Settle};
use schemas::wire::{LARGEST_FRAME, SUBPROTOCOL};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tungstenite::Message;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use super::soon;

/// How the receiver answers requests for the stream.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// It upgrades and selects our protocol.
    Upgrade,
    /// It answers something else.
    Refuse(u16, &'static str),
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    peers: mpsc::Receiver<Peer>,
}

/// One connection, seen from the receiver.
pub(crate) struct Peer {
    socket: WebSocketStream<TokioAdapter<TokioIo<Upgraded>>>,
    /// What the connector introduced itself with.
    pub(crate) hello: Option<Frame>,
    next: u64,
}

impl Receiver {
    pub(crate) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, peers) = mpsc::channel(16);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (arrived, seen) = (arrived.clone(), Arc::clone(&seen));
                let service = service_fn(move |request: Request<Incoming>| {
                    let seen_of = (request.uri().path().to_owned(), request.headers().clone());
                    seen.lock().unwrap().push(seen_of);
                    let answer = answer(answers, request, arrived.clone());
                    async { Ok::<_, Infallible>(answer) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(serving);
            }
        });
        Self { address, requests, peers }
    }

    /// Waits for the next connection, before any frame.
    pub(crate) async fn connection(&mut self) -> Peer {
        soon("a connection", self.peers.recv()).await.unwrap()
    }

    /// Waits for the next connection and welcomes it with long intervals.
    pub(crate) async fn session(&mut self) -> Peer {
        self.session_with(Duration::from_secs(20), Duration::from_secs(30)).await
    }

    pub(crate) async fn session_with(&mut self, heartbeat: Duration, ack_deadline: Duration) -> Peer {
        let mut peer = self.connection().await;
        peer.hello = Some(peer.frame().await);
        let largest = u32::try_from(LARGEST_FRAME).unwrap();
        peer.send(Frame::Welcome { session: "s1".into(), heartbeat, ack_deadline, largest }).await;
        peer
    }
}

fn answer(
    answers: Answers,
    request: Request<Incoming>,
    arrived: mpsc::Sender<Peer>,
) -> Response<Full<Bytes>> {
    let builder = Response::builder();
    if let Answers::Refuse(status, text) = answers {
        return builder.status(status).body(Full::new(Bytes::from(text))).unwrap();
    }
    let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let stream = TokioAdapter::new(TokioIo::new(upgraded));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        drop(arrived.send(Peer { socket, hello: None, next: 1 }).await);
    });
    let builder = builder.status(101).header("connection", "upgrade").header("upgrade", "websocket");
    let builder = builder.header("sec-websocket-protocol", SUBPROTOCOL);
    builder.header("sec-websocket-accept", accept).body(Full::default()).unwrap()
}

impl Peer {
    pub(crate) async fn send(&mut self, frame: Frame) {
        self.send_raw(Message::Binary(frame.encode())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        soon("sending", self.socket.send(message)).await.unwrap();
    }

    /// Sends `frame` as a slow line does: in `pieces`, with `pause` after each.
    pub(crate) async fn trickle(&mut self, frame: Frame, pieces: usize, pause: Duration) {
        let bytes = frame.encode();
        let mut message = vec![0x82, 127];
        message.extend(u64::try_from(bytes.len()).unwrap().to_be_bytes());
        message.extend(&bytes);
        let socket = self.socket.get_mut();
        for piece in message.chunks(message.len().div_ceil(pieces)) {
            socket.write_all(piece).await.unwrap();
            socket.flush().await.unwrap();
            tokio::time::sleep(pause).await;
        }
    }

    /// Delivers `webhooks` in one frame; returns the number of the first.
    pub(crate) async fn deliver(&mut self, webhooks: &[Webhook]) -> u64 {
        let first = self.next;
        let deliveries = webhooks.iter().map(|webhook| {
            self.next += 1;
            Delivery { seq: self.next - 1, webhook: webhook.clone() }
        });
        let frame = Frame::Deliver(deliveries.collect());
        self.send(frame).await;
        first
    }

    /// Waits for the next frame, whatever it is.
    pub(crate) async fn frame(&mut self) -> Frame {
        soon("a frame", self.frame_or_end()).await.expect("the connection ended")
    }

    /// Waits for the next frame; none when the connection ended.
    pub(crate) async fn frame_or_end(&mut self) -> Option<Frame> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Some(Frame::decode(bytes).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for the next frame that is no heartbeat.
    pub(crate) async fn next(&mut self) -> Frame {
        loop {
            match self.frame().await {
                Frame::Ping(_) | Frame::Pong(_) => {}
                other => return other,
            }
        }
    }

    /// Waits for the next settlements.
    pub(crate) async fn settle(&mut self) -> Settle {
        match self.next().await {
            Frame::Settle(settle) => settle,
            other => panic!("expected settlements, got {other:?}"),
        }
    }

    /// Waits until everything that was sent has been dealt with: the pong follows what came before the ping. Returns the
    /// frames that came meanwhile.
    pub(crate) async fn caught_up(&mut self) -> Vec<Frame> {
        self.send(Frame::Ping(4711)).await;
        let mut before = Vec::new();
        loop {
            match self.frame().await {
                Frame::Pong(4711) => return before,
                Frame::Ping(_) => {}
                other => before.push(other),
            }
        }
    }
}

/// Settlements that say `first..=last` were delivered.
pub(crate) fn delivered(first: u64, last: u64) -> Settle {
    Settle { delivered: vec![first..=last], ..Settle::default() }
}

/// Settlements of an earlier session.
pub(crate) fn earlier(all: Vec<(Id, Outcome)>) -> Settle {
    Settle { earlier: all, ..Settle::default() }
}

pub(crate) fn window(events: usize) -> Window {
    Window { events, bytes: 64 * 1024 * 1024 }
}

/// Makes a webhook as a receiver's buffer hands it out.
pub(crate) fn webhook(body: &[u8]) -> Webhook {
    let micros = engine::webhook::from_micros(engine::webhook::to_micros(SystemTime::now()));
    let head = Head {
        id: Id::new(),
        webhook: "orders".into(),
        received: micros,
        source: [192, 0, 2, 7].into(),
        method: "POST".into(),
        target: "/webhook/orders?x=%20".into(),
        headers: [("Content-Type", "application/json"), ("x-twice", "1"), ("x-twice", "2")]
            .into_iter()
            .collect(),
    };
    let mut webhook = Webhook::new(head, Bytes::copy_from_slice(body));
    webhook.transit.sequence = 9;
    webhook.transit.attempt = 2;
    webhook.transit.expires = Some(micros + Duration::from_secs(60));
    webhook
}
