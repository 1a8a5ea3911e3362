//! A receiver that speaks the compatible dialect, as the reference does or as ours does, with what may stand in the way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tungstenite::Message;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::soon;

type Body = BoxBody<Bytes, Infallible>;

/// What becomes of a request for a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Another answer than the wanted one.
    Refuse(u16, &'static str),
    /// The right answer, and nothing after it.
    Silent,
    /// The right answer, and the end right after it.
    Cut,
}

/// How it behaves. Changes hold from the next request on.
pub(crate) struct Behaviour {
    /// Whether it announces our additions.
    pub(crate) versioned: bool,
    pub(crate) websocket: Way,
    pub(crate) sse: Way,
    pub(crate) connected_clients: u64,
    /// What settling by HTTP is answered.
    pub(crate) settled: (u16, &'static str),
    /// What settling many at once is answered, when it says that it takes that.
    pub(crate) together: Option<(u16, &'static str)>,
}

pub(crate) struct Reference {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    sockets: mpsc::Receiver<Socket>,
    streams: mpsc::Receiver<Events>,
    posts: mpsc::Receiver<String>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    /// Every request: method, target, headers.
    requests: Mutex<Vec<(String, HeaderMap)>>,
    /// What polls return.
    polls: tokio::sync::Mutex<mpsc::Receiver<Value>>,
    waiting: mpsc::Sender<Value>,
    sockets: mpsc::Sender<Socket>,
    streams: mpsc::Sender<Events>,
    posts: mpsc::Sender<String>,
}

/// One WebSocket, seen from the receiver.
pub(crate) struct Socket(WebSocketStream<TokioAdapter<TokioIo<Upgraded>>>);

/// One stream of events, seen from the receiver.
pub(crate) struct Events(mpsc::Sender<Bytes>);

/// A webhook as the reference writes it.
pub(crate) fn message(id: &str) -> Value {
    json!({
        "type": "webhook", "message_id": id, "sequence": 1, "webhook_id": "w1",
        "timestamp": "2026-11-23T12:31:35.745756+00:00", "headers": {"content-type": "application/json"},
        "payload": {"n": 1},
    })
}

impl Reference {
    pub(crate) async fn start(versioned: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sockets_in, sockets) = mpsc::channel(64);
        let (streams_in, streams) = mpsc::channel(64);
        let (posts_in, posts) = mpsc::channel(1024);
        let (waiting, polls) = mpsc::channel(64);
        let behaviour = Behaviour {
            versioned,
            websocket: Way::Open,
            sse: Way::Open,
            connected_clients: 1,
            settled: (200, "{\"status\":\"ok\"}"),
            together: None,
        };
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            requests: Mutex::default(),
            polls: tokio::sync::Mutex::new(polls),
            waiting,
            sockets: sockets_in,
            streams: streams_in,
            posts: posts_in,
        });
        let own = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let own = Arc::clone(&own);
                let service = service_fn(move |request: Request<Incoming>| {
                    let own = Arc::clone(&own);
                    async move { Ok::<_, Infallible>(own.answer(request).await) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(serving);
            }
        });
        Self { address, shared, sockets, streams, posts }
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.shared.behaviour.lock().unwrap()
    }

    /// Every request so far whose target contains `part`.
    pub(crate) fn requests(&self, part: &str) -> Vec<(String, HeaderMap)> {
        let all = self.shared.requests.lock().unwrap();
        all.iter().filter(|(target, _)| target.contains(part)).cloned().collect()
    }

    /// Waits for the next WebSocket and says `connected`.
    pub(crate) async fn socket(&mut self) -> Socket {
        let mut socket = self.silent_socket().await;
        let connected = json!({
            "type": "connected", "connection_id": "wsc_1", "channel": "payments", "timestamp": "2026-11-23T12:31:35+00:00",
        });
        socket.send(&connected).await;
        socket
    }

    pub(crate) async fn silent_socket(&mut self) -> Socket {
        soon("a WebSocket", self.sockets.recv()).await.unwrap()
    }

    /// Waits for the next stream of events and says `connected`.
    pub(crate) async fn stream(&mut self) -> Events {
        let stream = soon("a stream", self.streams.recv()).await.unwrap();
        stream.send("connected", &json!({"connection_id": "sse_1", "channel": "payments"})).await;
        stream
    }

    /// Has the next poll return a webhook.
    pub(crate) async fn poll_returns(&self, message: Value) {
        self.shared.waiting.send(message).await.unwrap();
    }

    /// Waits for the next request that posts something, without the heartbeats.
    pub(crate) async fn post(&mut self) -> String {
        loop {
            let post = soon("a post", self.posts.recv()).await.unwrap();
            if post != "/connect/heartbeat" {
                return post;
            }
        }
    }

    /// Waits for the next heartbeat that is posted.
    pub(crate) async fn posted_heartbeat(&mut self) {
        while soon("a heartbeat", self.posts.recv()).await.unwrap() != "/connect/heartbeat" {}
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let target = request.uri().to_string();
        let seen = (format!("{} {target}", request.method()), request.headers().clone());
        self.requests.lock().unwrap().push(seen);
        let path = request.uri().path().to_owned();
        let (versioned, websocket, sse, clients, settled, together) = {
            let now = self.behaviour.lock().unwrap();
            (now.versioned, now.websocket, now.sse, now.connected_clients, now.settled, now.together)
        };
        let mut answer = match path.as_str() {
            "/connect/stream/payments" => self.upgrade(request, websocket),
            "/connect/stream/payments/sse" => self.events(sse).await,
            "/connect/stream/payments/poll" => self.poll().await,
            "/connect/status/payments" => whole(
                200,
                json!({"channel": "payments", "stats": {"connected_clients": clients}}).to_string(),
            ),
            _ => {
                let (status, text) = together.filter(|_| target == "/connect/ack").unwrap_or(settled);
                self.posts.send(target).await.unwrap();
                whole(status, text.to_owned())
            }
        };
        if versioned {
            answer.headers_mut().insert("webhook-connect-version", "1".parse().unwrap());
            answer.headers_mut().insert("webhook-connect-ack-timeout", "3".parse().unwrap());
        }
        if together.is_some() {
            answer.headers_mut().insert("webhook-connect-settlements", "256".parse().unwrap());
        }
        answer
    }

    fn upgrade(&self, request: Request<Incoming>, way: Way) -> Response<Body> {
        if let Way::Refuse(status, text) = way {
            return whole(status, text.to_owned());
        }
        let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
        let sockets = self.sockets.clone();
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            if way == Way::Cut {
                return;
            }
            let stream = TokioAdapter::new(TokioIo::new(upgraded));
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            drop(sockets.send(Socket(socket)).await);
        });
        let mut answer = whole(101, String::new());
        for (name, value) in
            [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", &accept)]
        {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    }

    async fn events(&self, way: Way) -> Response<Body> {
        if let Way::Refuse(status, text) = way {
            return whole(status, text.to_owned());
        }
        let (pieces, body) = mpsc::channel::<Bytes>(64);
        let body = futures::stream::unfold(body, |mut body| async move {
            let piece = body.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(piece)), body))
        });
        match way {
            Way::Open => self.streams.send(Events(pieces)).await.unwrap(),
            Way::Silent => drop(tokio::spawn(async move { pieces.closed().await })),
            Way::Cut | Way::Refuse(..) => {}
        }
        let mut answer = Response::new(BodyExt::boxed(StreamBody::new(Box::pin(body))));
        let kind = "text/event-stream; charset=utf-8".parse().unwrap();
        answer.headers_mut().insert("content-type", kind);
        answer
    }

    async fn poll(&self) -> Response<Body> {
        let mut polls = self.polls.lock().await;
        match tokio::time::timeout(Duration::from_millis(200), polls.recv()).await {
            Ok(Some(message)) => whole(
                200,
                json!({"messages": [message], "connection_id": "poll_1", "channel": "payments"}).to_string(),
            ),
            _ => whole(204, String::new()),
        }
    }
}

fn whole(status: u16, text: String) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(text)).boxed());
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

impl Socket {
    pub(crate) async fn send(&mut self, message: &Value) {
        soon("sending", self.0.send(Message::Text(message.to_string().into()))).await.unwrap();
    }

    pub(crate) async fn heartbeat(&mut self) {
        let now = "2026-11-23T12:31:35+00:00";
        self.send(&json!({"type": "heartbeat", "timestamp": now, "server_time": now})).await;
    }

    /// Waits for the next message, heartbeats included.
    pub(crate) async fn any(&mut self) -> Value {
        soon("a message", self.any_or_end()).await.expect("the connection ended")
    }

    pub(crate) async fn any_or_end(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for the next message that is no heartbeat.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = self.any().await;
            if message["type"] != "heartbeat" {
                return message;
            }
        }
    }
}

impl Events {
    pub(crate) async fn send(&self, name: &str, data: &Value) {
        self.raw(&format!("event: {name}\ndata: {data}\n\n")).await;
    }

    pub(crate) async fn raw(&self, text: &str) {
        self.0.send(Bytes::copy_from_slice(text.as_bytes())).await.expect("the stream is open");
    }

    /// Waits until the connector has gone.
    pub(crate) async fn closed(&self) {
        soon("the end of the stream", self.0.closed()).await;
    }
}
