//! The one HTTP client: pooled connections, HTTP/1.1 and HTTP/2, TLS with the certificates of the system.
//!
//! Redirects are not followed. A caller gets the status and how long it should wait, or asks for the whole answer.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engine::clock;
use engine::kind::Resources;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::warn;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is kept that nobody uses: below what servers and the boxes between allow.
const IDLE: Duration = Duration::from_secs(30);

/// Connections that are kept per host while nobody uses them.
const IDLE_CONNECTIONS: usize = 64;

/// How much of an answer's body is read, and for how long, so that its connection can be used again.
const DRAINED: usize = 64 << 10;
const DRAINING: Duration = Duration::from_secs(1);

/// The longest wait that is believed when a server asks for one.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Calls HTTP servers. One per process.
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// `Retry-After`, in either of its forms.
    pub(crate) retry_after: Option<Duration>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Page {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No connection came about: name, network, port or TLS.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The call took too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection ended before the answer was there.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The answer has more bytes than the caller takes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl Client {
    /// Returns the client of this process.
    pub(crate) fn shared(resources: &Resources) -> Arc<Self> {
        match resources.get_or_make("http client", || Ok::<_, Infallible>(Self::new())) {
            Ok(client) => client,
            Err(never) => match never {},
        }
    }

    fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(IDLE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http2_keep_alive_interval(IDLE)
            .build(connector);
        Self(client)
    }

    /// Sends `request` and returns the answer's status, waiting at most `timeout` for it. Cancelling leaves it unknown
    /// whether the server took the request.
    ///
    /// # Errors
    /// Why there is no answer, in words that name neither URL nor headers.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let answered = tokio::time::timeout(timeout, self.0.request(request)).await;
        let (head, body) = answered.map_err(|_| NoAnswer::TimedOut(timeout))??.into_parts();
        // The status has decided; a body that breaks or dribbles costs only its connection.
        drop(tokio::time::timeout(DRAINING, drain(body)).await);
        Ok(Answer { status: head.status, retry_after: retry_after(&head.headers, clock::now()) })
    }

    /// Sends `request` and returns the whole answer, of at most `most` bytes, waiting at most `timeout` for its end.
    /// Cancelling leaves it unknown whether the server took the request.
    ///
    /// # Errors
    /// Why there is no answer, in words that name neither URL nor headers.
    pub(crate) async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
        most: usize,
    ) -> Result<Page, NoAnswer> {
        let whole = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|error| {
                let is_limit = error.is::<LengthLimitError>();
                if is_limit { NoAnswer::TooLarge(most) } else { NoAnswer::Broken(innermost(&*error)) }
            })?;
            Ok(Page { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(timeout, whole).await.map_err(|_| NoAnswer::TimedOut(timeout))?
    }
}

impl From<legacy::Error> for NoAnswer {
    fn from(error: legacy::Error) -> Self {
        let why = innermost(&error);
        if error.is_connect() { Self::Connect(why) } else { Self::Broken(why) }
    }
}

/// Returns the error at the end of the chain, which says most.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Trusts the certificates of the system. Without any, every https call fails to connect, and plain http works.
fn tls() -> rustls::ClientConfig {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let error = found.errors.first().map(ToString::to_string).unwrap_or_default();
        warn!(error, "no certificates of the system were found: https destinations cannot be reached");
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers the cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Reads the front of a body and forgets it.
async fn drain(mut body: Incoming) {
    let mut left = DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// Reads `Retry-After`: seconds, or a date. A date that has passed means no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().ok()?)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(value: &str) -> Option<Duration> {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]), now)
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn a_retry_after_beyond_belief_is_bounded_or_ignored() {
        assert_eq!(wait("31536000"), Some(LONGEST_WAIT));
        for value in ["", "-1", "soon", "99999999999999999999999", "1.5"] {
            assert_eq!(wait(value), None, "{value}");
        }
    }
}
