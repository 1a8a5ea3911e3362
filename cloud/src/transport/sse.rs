//! `GET /connect/stream/{channel}/sse`: server-sent events in pure ASCII; acknowledgements come by `POST /connect/ack`.

use std::sync::Arc;

use bytes::Bytes;
use engine::clock;
use engine::webhook::Webhook;
use futures::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use schemas::wire::ascii;
use schemas::wire::compatible::{self, BodyForm};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval_at};

use crate::announced::Announced;
use crate::answer;
use crate::body::{Body, Reply, whole};
use crate::channel::Channel;
use crate::leaving::Line;
use crate::listener::Shared;
use crate::session::{self, Ear, End, GOODBYE, Said, Say, Session, WRITING, Wish};

/// How much is gathered before it is given to the connection, in bytes, about.
const PIECE: usize = 64 * 1024;

/// Starts a stream of events.
pub(crate) fn connect(
    channel: Arc<Channel>,
    announced: &Announced,
    line: Option<Line>,
    shared: &Arc<Shared>,
) -> Reply {
    if shared.is_stopping() {
        return whole(answer::closing(answer::busy("the receiver is stopping")));
    }
    let (pieces, body) = mpsc::channel(1);
    let Some(permit) = channel.permit(shared) else {
        // A queue of one has room for the first piece.
        drop(pieces.try_send(event("error", "{\"error\":\"max_connections_reached\"}").into()));
        return streaming(body);
    };
    let name = session::name(if announced.tap { session::TAP } else { "sse_" });
    let wish = Wish {
        connection: name,
        connector: announced.connector.clone().unwrap_or_default(),
        window: announced.window,
        carries: Some(announced.carries(None)),
        lively: announced.version,
        tap: announced.tap,
    };
    let beats = interval_at(Instant::now() + channel.limits.heartbeat(), channel.limits.heartbeat());
    let voice = Voice { pieces, form: announced.form(), beats };
    let own = Arc::clone(shared);
    shared.sessions.spawn(async move {
        let _permit = permit;
        run(wish, voice, line, &channel, &own).await;
    });
    streaming(body)
}

/// Speaks with one connector until either end leaves.
async fn run(wish: Wish, voice: Voice, line: Option<Line>, channel: &Arc<Channel>, shared: &Shared) {
    let name = wish.connection.clone();
    let (out, says) = mpsc::channel(WRITING);
    let begun = Session::begin(wish, channel, shared, out.clone()).await;
    let mut writer = tokio::spawn(voice.write(says, name.clone(), channel.name.clone()));
    let end = match begun {
        Ok(session) => session.serve(&mut NoEar(line.clone())).await,
        Err(end) => end,
    };
    session::log_end(&end, channel, &name);
    drop(out);
    if tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        writer.abort();
        if let Some(line) = line {
            line.cut();
        }
    }
}

fn streaming(body: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = Response::new(Body::Pieces(body));
    *reply.status_mut() = StatusCode::OK;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    answer::mark(reply)
}

/// Writes one event. Its data is one line of ASCII.
fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {}\n\n", ascii::fold(json))
}

fn heartbeat() -> String {
    event("heartbeat", &compatible::heartbeat_data(clock::now()))
}

/// The writing side. It gives the signs of life by itself, so that they come under load too.
struct Voice {
    pieces: mpsc::Sender<Bytes>,
    form: BodyForm,
    beats: Interval,
}

impl Voice {
    /// Writes until nobody has anything more to say, or the connection has ended.
    async fn write(mut self, mut says: mpsc::Receiver<Say>, connection: String, channel: String) {
        let connected = event("connected", &compatible::connected_data(&connection, &channel));
        let mut open = self.send(connected).await;
        open = open && self.beat().await;
        while open {
            let say = tokio::select! {
                biased;
                () = self.pieces.closed() => return,
                _ = self.beats.tick() => {
                    open = self.beat().await;
                    continue;
                }
                say = says.recv() => say,
            };
            match say {
                Some(Say::Deliver(webhooks)) => open = self.deliver(webhooks).await,
                Some(Say::Gap(gap)) => open = self.send(event("gap", &compatible::gap(gap))).await,
                Some(Say::Ping(_) | Say::Pong(_) | Say::Bye(_)) => {}
                None => return,
            }
        }
    }

    /// Writes webhooks, several at once where they are small. Returns false when the connection has ended.
    async fn deliver(&mut self, webhooks: Vec<(u64, Webhook)>) -> bool {
        let mut piece = String::new();
        for (_, webhook) in webhooks {
            if self.beats.tick().now_or_never().is_some() {
                piece.push_str(&heartbeat());
            }
            piece.push_str(&event("webhook", &compatible::webhook(&webhook, self.form)));
            if piece.len() >= PIECE && !self.send(std::mem::take(&mut piece)).await {
                return false;
            }
        }
        piece.is_empty() || self.send(piece).await
    }

    async fn beat(&mut self) -> bool {
        self.send(heartbeat()).await
    }

    /// Returns false when the connection has ended.
    async fn send(&mut self, piece: String) -> bool {
        self.pieces.send(piece.into()).await.is_ok()
    }
}

/// Nothing is said on this connection; only its end is noticed.
struct NoEar(Option<Line>);

impl Ear for NoEar {
    const SETTLES: bool = false;

    async fn hear(&mut self) -> Result<Vec<Said>, End> {
        match &self.0 {
            Some(line) => line.left().await,
            None => std::future::pending().await,
        }
        Err(End::Closed)
    }
}
