//! An HTTP destination that behaves as the case wants and remembers what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::case::Failed;
use crate::party::wait::until;

/// What a destination was sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What it was answered.
    pub answered: StatusCode,
    /// When it was there whole.
    pub at: Instant,
}

impl Call {
    /// Returns a header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// How a destination behaves: how long it takes, and what it answers.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// What it answers.
    pub status: StatusCode,
    /// How long it takes for that.
    pub delay: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Self { status: StatusCode::OK, delay: Duration::ZERO }
    }
}

/// A running destination. Dropping it closes its port.
#[derive(Debug)]
pub struct Destination {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    manners: Mutex<Manners>,
    next: Mutex<VecDeque<StatusCode>>,
    calls: Mutex<Vec<Call>>,
    begun: AtomicUsize,
}

impl Destination {
    /// Starts a destination at a free port.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::serve(listener, Arc::default())
    }

    fn serve(listener: TcpListener, shared: Arc<Shared>) -> Result<Self, Failed> {
        let address = listener.local_addr()?;
        let own = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&own);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
                    // A caller that hangs up is its own business.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok(Self { address, shared, server })
    }

    /// Returns the URL that webhooks go to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hooks?from=relay", self.address)
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, manners: Manners) {
        *self.shared.manners.lock().unwrap_or_else(PoisonError::into_inner) = manners;
    }

    /// Answers the next calls with these, and those after them as it behaves.
    pub fn answer_next(&self, statuses: impl IntoIterator<Item = StatusCode>) {
        self.shared.next.lock().unwrap_or_else(PoisonError::into_inner).extend(statuses);
    }

    /// Returns what it was sent so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what it was sent after the first `count` calls.
    #[must_use]
    pub fn calls_from(&self, count: usize) -> Vec<Call> {
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(count..).unwrap_or_default().to_vec()
    }

    /// Waits until `count` calls came.
    ///
    /// # Errors
    /// Too few come in time.
    pub async fn reached(&self, count: usize) -> Result<(), Failed> {
        until("webhooks arrive", Duration::from_secs(20), || {
            let enough = self.count() >= count;
            async move { Ok(enough.then_some(())) }
        })
        .await
    }

    /// Returns how often it was called.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns how many calls have begun, answered or not.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Returns when it was first sent a webhook whose header `name` is `value`; none when it was not.
    #[must_use]
    pub fn saw(&self, name: &str, value: &str) -> Option<Instant> {
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().find(|call| call.header(name) == value).map(|call| call.at)
    }

    /// Closes its port and every connection, as a machine that goes down; what it remembers stays.
    pub async fn go_down(&mut self) {
        self.server.abort();
        // Ending is all that is wanted of it.
        drop((&mut self.server).await);
    }

    /// Opens its port again.
    ///
    /// # Errors
    /// Another process took the port meanwhile.
    pub async fn come_back(&mut self) -> Result<(), Failed> {
        let listener = TcpListener::bind(self.address).await?;
        *self = Self::serve(listener, Arc::clone(&self.shared))?;
        Ok(())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let Manners { status, delay } = *shared.manners.lock().unwrap_or_else(PoisonError::into_inner);
    let next = shared.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let status = next.unwrap_or(status);
    let (parts, body) = request.into_parts();
    if let Ok(body) = body.collect().await {
        let at = Instant::now();
        shared.begun.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        let target = parts.uri.path_and_query().map_or(String::new(), ToString::to_string);
        let call = Call {
            method: parts.method,
            target,
            headers: parts.headers,
            body: body.to_bytes(),
            answered: status,
            at,
        };
        shared.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    Ok(answer)
}
