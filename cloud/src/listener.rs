//! The port: connections, their bounds, and how they end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::chance::Chance;
use engine::config::Secret;
use engine::meter::{Counter, Meter, Metric};
use engine::network::Networks;
use engine::pipeline::{Reload, Surroundings};
use http::header::CONNECTION;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{debug, warn};

use crate::acceptor::{Accepted, Acceptor};
use crate::body::Body;
use crate::leaving::Line;
use crate::request::UNIT;
use crate::router;
use crate::tables::{Channels, Routes};
use crate::tls::{Peer, Tls};

/// The largest request line and headers together, in bytes; beyond it the answer is 431.
pub(crate) const LARGEST_HEAD: usize = 64 * 1024;

/// The most headers of one request; beyond it hyper answers 431.
const MOST_HEADERS: usize = 128;

/// How long the pipelines may take to run before anybody is served.
const OPENING: Duration = Duration::from_secs(5);

/// How long sessions may take to say goodbye once they are cut off.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long to wait when the system has no more file descriptors.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// The bounds of the listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The token of the admin API, which is off without one.
    pub admin_token: Option<Secret>,
    /// Proxies whose `X-Forwarded-For` is believed, for webhooks that say nothing else.
    pub trusted_proxies: Networks,
    /// How the configuration is read again, when it can be.
    pub reload: Option<Reload>,
    /// Whether connectors may give their token as `?token=`.
    pub allow_query_token: bool,
    /// How long connectors may take to settle what they hold once told to stop.
    pub drain: Duration,
    /// How long a sender may take for its headers.
    pub head_timeout: Duration,
    /// How long a sender may take for its body.
    pub body_timeout: Duration,
    /// Connections at a time, those of connectors included. More wait to be accepted.
    pub max_connections: usize,
    /// The encryption; none speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Webhooks being taken at a time; more are answered 503.
    pub max_requests: usize,
    /// Bytes of bodies being taken at a time; more are answered 503.
    pub max_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body_bytes: 10 << 20,
            admin_token: None,
            trusted_proxies: Networks::default(),
            reload: None,
            allow_query_token: false,
            drain: Duration::from_secs(30),
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            max_connections: 20_000,
            tls: None,
            max_requests: 10_000,
            max_bytes: 512 << 20,
        }
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) routes: Arc<Routes>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) meter: Meter,
    pub(crate) chance: Arc<Chance>,
    /// One permit per webhook being taken.
    pub(crate) requests: Semaphore,
    /// One permit per [`UNIT`] of bodies being taken.
    pub(crate) body_memory: Semaphore,
    pub(crate) refused_requests: Counter,
    pub(crate) refused_memory: Counter,
    /// How often the most connections were open.
    full: Counter,
    /// How many requests took too long to begin.
    slow_heads: Counter,
    /// How many requests could not be understood.
    not_understood: Counter,
    /// The tasks of sessions.
    pub(crate) sessions: TaskTracker,
    pub(crate) stop: watch::Receiver<bool>,
    /// Cancelled when the time for finishing is over: sessions give back what they hold.
    cut: CancellationToken,
    ok: Counter,
}

impl Shared {
    fn new(settings: Settings, surroundings: &Surroundings) -> Self {
        let Surroundings { meter, resources, stop, cut, .. } = surroundings.clone();
        let permits = |count: usize| Semaphore::new(count.min(Semaphore::MAX_PERMITS));
        Self {
            routes: Routes::of(&resources),
            channels: Channels::of(&resources),
            chance: Chance::of(&resources),
            requests: permits(settings.max_requests),
            body_memory: permits(settings.max_bytes.div_ceil(UNIT)),
            refused_requests: meter.counter(Metric::Limits, "listener", "requests"),
            refused_memory: meter.counter(Metric::Limits, "listener", "body_bytes"),
            full: meter.counter(Metric::Limits, "listener", "connections"),
            slow_heads: meter.counter(Metric::Limits, "listener", "head_timeout"),
            not_understood: meter.counter(Metric::NotUnderstood, "listener", ""),
            sessions: TaskTracker::new(),
            ok: meter.counter(Metric::Answers, "", "200"),
            settings,
            meter,
            stop,
            cut,
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Counts an answer by its status.
    pub(crate) fn answered(&self, status: StatusCode) {
        if status == StatusCode::OK {
            self.ok.add(1);
        } else {
            self.meter.counter(Metric::Answers, "", status.as_str()).add(1);
        }
    }
}

/// Serves senders, connectors and operators until it is told to stop and everything in flight has ended. After
/// `settings.drain` it cuts the pipelines off, so that what is still in flight is given back to its channel, and within a few
/// seconds more it returns.
///
/// # Errors
/// Connections cannot be accepted any more.
pub async fn serve<A: Acceptor>(
    listener: A,
    settings: Settings,
    surroundings: &Surroundings,
) -> io::Result<()> {
    let mut stop = surroundings.stop.clone();
    let connections = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
    let shared = Arc::new(Shared::new(settings, surroundings));
    let tasks = TaskTracker::new();
    let all_run = async { tokio::join!(shared.routes.all_run(), shared.channels.all_run()) };
    // What takes longer is answered 503 meanwhile.
    drop(tokio::time::timeout(OPENING, all_run).await);
    let tls = shared.settings.tls.clone();
    let _watch = tls.map(|tls| AbortOnDropHandle::new(tokio::spawn(async move { tls.watch().await })));
    loop {
        let (accepted, permit) = tokio::select! {
            biased;
            () = told(&mut stop) => break,
            (accepted, permit) = accept(&listener, &connections, &shared) => match accepted {
                Ok(accepted) => (accepted, permit),
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(NO_DESCRIPTORS).await;
                    continue;
                }
            },
        };
        serve_connection(accepted, permit, &shared, &tasks);
    }
    drop(listener);
    tasks.close();
    shared.sessions.close();
    let all = async {
        tasks.wait().await;
        shared.sessions.wait().await;
    };
    let drained = tokio::time::timeout(shared.settings.drain, all).await.is_ok();
    if !drained {
        warn!(
            sessions = shared.sessions.len(),
            "not every connection ended in time; what they hold is given back"
        );
        shared.cut.cancel();
        // What does not say goodbye now goes with the process.
        drop(tokio::time::timeout(GOODBYE, shared.sessions.wait()).await);
    }
    Ok(())
}

/// Waits until it is time to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could say stop is gone, which means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept<A: Acceptor>(
    listener: &A,
    connections: &Arc<Semaphore>,
    shared: &Shared,
) -> (io::Result<Accepted<A::Stream>>, Option<Permit>) {
    if connections.available_permits() == 0 {
        shared.full.add(1);
        debug!("the most connections are open; more wait to be accepted");
    }
    // The semaphore is never closed.
    let permit = Arc::clone(connections).acquire_owned().await.ok();
    (listener.accept().await, permit)
}

fn serve_connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    accepted: Accepted<S>,
    permit: Option<Permit>,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
) {
    let Accepted { stream, peer, hold } = accepted;
    let (shared, line) = (Arc::clone(shared), Line::new(Arc::clone(&hold)));
    tasks.spawn(async move {
        let _permit = permit;
        let over = match &shared.settings.tls {
            None => serve_http(stream, peer, Peer::Anyone, line, &shared).await,
            Some(tls) => match tokio::time::timeout(shared.settings.head_timeout, tls.accept(stream)).await {
                Ok(Ok((stream, client))) => serve_http(stream, peer, client, line, &shared).await,
                Ok(Err(error)) => {
                    debug!(%peer, %error, "a client could not shake hands");
                    Over::Unread
                }
                Err(_) => {
                    debug!(%peer, "a client did not shake hands in time");
                    Over::Read
                }
            },
        };
        if over == Over::Unread {
            hold.drain().await;
        }
    });
}

/// How a connection ended.
#[derive(PartialEq)]
enum Over {
    /// Everything that was sent was read.
    Read,
    /// The peer may still be sending.
    Unread,
}

/// Serves the requests of one connection until it ends.
async fn serve_http<S>(stream: S, peer: SocketAddr, client: Peer, line: Line, shared: &Arc<Shared>) -> Over
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.settings.head_timeout)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .half_close(true);
    let (own, unread) = (Arc::clone(shared), Arc::new(AtomicBool::new(false)));
    let is_unread = Arc::clone(&unread);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(line.clone());
        let (shared, unread) = (Arc::clone(&own), Arc::clone(&unread));
        async move {
            let answer = match client.refused(request.uri().path()) {
                Some(refused) => {
                    shared.answered(refused.status());
                    refused.map(Body::Whole)
                }
                None => router::route(request, peer.ip(), &shared).await,
            };
            if answer.headers().contains_key(CONNECTION) && answer.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                unread.store(true, Ordering::Relaxed);
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut stop = shared.stop.clone();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = told(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = &ended {
        debug!(%peer, %error, "a connection ended with an error");
        if error.is_timeout() {
            shared.slow_heads.add(1);
        } else if error.is_parse() {
            shared.not_understood.add(1);
        }
    }
    if ended.is_err() || is_unread.load(Ordering::Relaxed) { Over::Unread } else { Over::Read }
}
