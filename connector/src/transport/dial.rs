//! From an address to a connection: TCP, a proxy, TLS, HTTP, the upgrade by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use engine::config::Secret;
use engine::ledger::Window;
use http::header::{AUTHORIZATION, CONNECTION, HOST, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use schemas::wire::compatible::{TAP_HEADER, WINDOW_HEADER};
use schemas::wire::{ACK_TIMEOUT_HEADER, SETTLEMENTS_HEADER, SUBPROTOCOL, VERSION, VERSION_HEADER};
use tokio_util::task::AbortOnDropHandle;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::network::{Network, Stream};
use super::proxy::Proxy;
use super::tls::Tls;
use crate::address::Address;

/// How long connecting may take, name look-up and TLS included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a refusal's text is shown, in characters.
const SHOWN: usize = 200;

/// How much of a refusal's text is read, in bytes.
const READ: usize = 4096;

/// How large a channel's status may be, in bytes.
pub(super) const STATUS: usize = 64 * 1024;

/// How long a webhook may be in flight with receivers that do not say it, in seconds.
const ACK_DEADLINE: u64 = 30;

/// The body of a request: only settlements have one.
pub(super) type Body = Full<Bytes>;

/// Makes connections to one channel's receiver.
pub(crate) struct Dialer {
    address: Address,
    channel: ByteString,
    connector: ByteString,
    window: Window,
    tap: bool,
    token: Secret,
    authorization: HeaderValue,
    tls: Option<Arc<Tls>>,
    proxy: Option<Proxy>,
    network: Arc<Network>,
    /// Whether the receiver ever said that it knows our additions to the protocol.
    versioned: AtomicBool,
    /// How long the receiver said that a webhook may take, in seconds.
    deadline: Arc<AtomicU64>,
    /// How many settlements the receiver said that one request may tell; 0 until it did.
    settlements: AtomicUsize,
}

/// What a [`Dialer`] needs beside the address and the token.
pub(crate) struct Way {
    pub(crate) channel: ByteString,
    /// The connector's name; may be empty.
    pub(crate) connector: ByteString,
    pub(crate) window: Window,
    /// Whether it only watches.
    pub(crate) tap: bool,
    /// There when the address wants it.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) proxy: Option<Proxy>,
    /// What is beneath when there is no proxy.
    pub(crate) network: Arc<Network>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The receiver refused the token.
    #[error("the receiver refused the token (401): {0}")]
    Token(String),
    /// A receiver of the reference kind refused the upgrade without a word.
    #[error(
        "the receiver answered 403 without a word: the channel is not registered there yet, or the token is not its own"
    )]
    Unregistered,
    /// The receiver, or something before it, gave another answer than the wanted one.
    #[error("the receiver answered {0}: {1}")]
    Answer(StatusCode, String),
    /// The answer to the upgrade, or to the request for a stream, is not one.
    #[error("the receiver's answer is wrong: {0}")]
    Wrong(&'static str),
    /// No answer in time.
    #[error("no connection within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The TCP connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, #[source] std::io::Error),
    /// The proxy.
    #[error("{0} makes no connection to the receiver: {1}")]
    Proxy(String, String),
    /// TLS.
    #[error("no encrypted connection to {0}: {1}")]
    Tls(String, #[source] std::io::Error),
    /// HTTP.
    #[error("the connection broke: {}", whole(.0))]
    Http(#[from] hyper::Error),
    /// The connection ended, or fell silent, before the receiver's first message.
    #[error("{0}")]
    Silent(String),
    /// The receiver does not want this connection.
    #[error("{0}")]
    Left(String),
}

/// An HTTP connection to the receiver, one request at a time.
pub(super) struct Http {
    sender: http1::SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

/// How a request is to travel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// Through a proxy's tunnel, or directly.
    Tunnel,
    /// As a request to the proxy when the receiver is spoken to without encryption.
    Request,
}

impl Dialer {
    /// Makes a dialer.
    ///
    /// # Errors
    /// The token has characters that no header can hold.
    pub(crate) fn new(
        address: Address,
        token: Secret,
        way: Way,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
        authorization.set_sensitive(true);
        let Way { channel, connector, window, tap, tls, proxy, network } = way;
        let (versioned, deadline) = (AtomicBool::new(false), Arc::new(AtomicU64::new(ACK_DEADLINE)));
        Ok(Self {
            address,
            channel,
            connector,
            window,
            tap,
            token,
            authorization,
            tls,
            proxy,
            network,
            versioned,
            deadline,
            settlements: AtomicUsize::new(0),
        })
    }

    /// Returns where it connects to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the channel.
    pub(crate) fn channel(&self) -> &ByteString {
        &self.channel
    }

    /// Returns the path of the channel's stream.
    pub(super) fn stream_path(&self) -> String {
        self.address.stream_path(&self.channel)
    }

    /// Returns the path of the channel's status.
    pub(super) fn status_path(&self) -> String {
        self.address.connect_path(&format!("status/{}", self.channel))
    }

    /// Returns the window and the name that the connector introduces itself with.
    pub(crate) fn introduction(&self) -> (Window, &ByteString) {
        (self.window, &self.connector)
    }

    /// Returns true when it only watches.
    pub(crate) fn is_tap(&self) -> bool {
        self.tap
    }

    /// Returns how long a webhook may be in flight in the compatible dialect, in seconds; what the receiver says changes it.
    pub(super) fn deadline(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.deadline)
    }

    /// Returns true when the receiver has said that it knows our additions to the protocol.
    pub(crate) fn is_versioned(&self) -> bool {
        self.versioned.load(Ordering::Relaxed)
    }

    /// Notes how many settlements one request may tell, as the answer to a request for webhooks says it.
    pub(super) fn note_settlements(&self, response: &Response<Incoming>) {
        self.settlements.store(number(response, SETTLEMENTS_HEADER).unwrap_or(0), Ordering::Relaxed);
    }

    /// Notes that settlements are not taken together, whatever was said.
    pub(super) fn tell_one_by_one(&self) {
        self.settlements.store(0, Ordering::Relaxed);
    }

    /// Returns how many settlements one request may tell; none when the receiver has not said that it takes several.
    pub(super) fn settlements(&self) -> Option<usize> {
        Some(self.settlements.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// Upgrades a connection; with `native`, offers our own protocol. Returns whether it was selected. Cancelling drops
    /// the connection.
    ///
    /// # Errors
    /// Why none came about.
    pub(super) async fn upgrade(&self, native: bool) -> Result<(Upgraded, bool), ConnectError> {
        let upgraded = tokio::time::timeout(TIMEOUT, self.upgraded(native)).await;
        upgraded.map_err(|_| ConnectError::Timeout)?
    }

    async fn upgraded(&self, native: bool) -> Result<(Upgraded, bool), ConnectError> {
        let mut http = self.open(Through::Tunnel).await?;
        let key = generate_key();
        let mut request = self.request(Method::GET, &self.stream_path(), Through::Tunnel);
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if native {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        if let Ok(key) = HeaderValue::try_from(&key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
        let response = self.send(&mut http, request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(response).await);
        }
        let selected = check_upgrade(&response, &key, native)?;
        Ok((hyper::upgrade::on(response).await?, selected))
    }

    /// Opens an HTTP connection.
    ///
    /// # Errors
    /// Why none came about.
    pub(super) async fn open(&self, through: Through) -> Result<Http, ConnectError> {
        let stream = self.stream(through).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = async move {
            // Whoever waits for an answer is told.
            drop(connection.with_upgrades().await);
        };
        Ok(Http { sender, _driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }

    /// Makes sure that the receiver knows our additions, by asking for the channel's status.
    ///
    /// # Errors
    /// It does not, which is told as `wrong`; or it cannot be asked.
    pub(super) async fn insist_on_version(
        &self,
        http: &mut Http,
        wrong: &'static str,
    ) -> Result<(), ConnectError> {
        let request = self.request(Method::GET, &self.status_path(), Through::Request);
        let response = self.send(http, request).await?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        if !self.is_versioned() {
            return Err(ConnectError::Wrong(wrong));
        }
        // Read to its end, so that the connection can be kept.
        drop(Limited::new(response.into_body(), STATUS).collect().await);
        Ok(())
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn send(
        &self,
        http: &mut Http,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, ConnectError> {
        http.sender.ready().await?;
        let response = http.sender.send_request(request).await?;
        if response.headers().contains_key(VERSION_HEADER) {
            self.versioned.store(true, Ordering::Relaxed);
        }
        if let Some(seconds) = number(&response, ACK_TIMEOUT_HEADER) {
            self.deadline.store(seconds, Ordering::Relaxed);
        }
        Ok(response)
    }

    async fn stream(&self, through: Through) -> Result<Box<dyn Stream>, ConnectError> {
        let Address { host, port, .. } = &self.address;
        let authority = || self.address.authority().to_owned();
        let stream: Box<dyn Stream> = match &self.proxy {
            Some(proxy) if through == Through::Request && self.tls.is_none() => {
                return Ok(Box::new(proxy.connect().await?));
            }
            Some(proxy) => Box::new(TokioIo::new(proxy.tunnel(&self.address).await?)),
            None => {
                let stream = self.network.connect(host, *port).await;
                stream.map_err(|error| ConnectError::Connect(authority(), error))?
            }
        };
        let Some(tls) = &self.tls else { return Ok(stream) };
        let broken = |error| ConnectError::Tls(authority(), error);
        let name =
            ServerName::try_from(host.clone()).map_err(|error| broken(std::io::Error::other(error)))?;
        Ok(Box::new(tls.connector().await.connect(name, stream).await.map_err(broken)?))
    }

    /// Makes a request with everything that every request of ours has.
    pub(super) fn request(&self, method: Method, path: &str, through: Through) -> Request<Body> {
        let mut request = Request::new(Body::default());
        *request.method_mut() = method;
        let to_proxy = self.proxy.as_ref().filter(|_| through == Through::Request && self.tls.is_none());
        let target = match to_proxy {
            Some(_) => format!("http://{}{path}", self.address.authority()),
            None => path.to_owned(),
        };
        // It is made of a parsed URL, a checked channel name and escaped values.
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Some(authorization) = to_proxy.and_then(Proxy::authorization) {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("webhook-connect/", env!("CARGO_PKG_VERSION"))),
        );
        let Window { events, bytes } = self.window;
        let window = format!("{events};{bytes}");
        for (name, value) in [
            (HOST, self.address.authority()),
            (HeaderName::from_static(WINDOW_HEADER), &window),
            (HeaderName::from_static(TAP_HEADER), if self.tap { "1" } else { "" }),
            (HeaderName::from_static("x-connector-id"), &self.connector),
        ] {
            if let Some(value) = HeaderValue::try_from(value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
        request
    }

    /// Reads what the receiver says about a refusal: where it points to, or the front of its body. An answer that repeats
    /// the request must not bring the token into the log.
    pub(super) async fn refused(&self, response: Response<Incoming>) -> ConnectError {
        let status = response.status();
        let ours = response.headers().contains_key(VERSION_HEADER);
        let text = match response.headers().get(LOCATION) {
            Some(place) if status.is_redirection() => {
                format!("it points to {}", String::from_utf8_lossy(place.as_bytes()))
            }
            Some(_) | None => front(response.into_body()).await,
        };
        let text = text.replace(self.token.expose(), "***");
        let text: String =
            text.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        match status {
            StatusCode::UNAUTHORIZED => ConnectError::Token(text),
            // The receiver itself is there, and has no room or is stopping.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if ours => {
                ConnectError::Left(format!("the receiver answered {status}: {text}"))
            }
            StatusCode::FORBIDDEN if text.is_empty() && !ours => ConnectError::Unregistered,
            status => ConnectError::Answer(status, text),
        }
    }
}

/// Returns the number that a header of an answer holds.
fn number<N: std::str::FromStr>(response: &Response<Incoming>, header: &str) -> Option<N> {
    response.headers().get(header)?.to_str().ok()?.parse().ok()
}

/// Puts an error and its causes into words; those of HTTP leave their causes out.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Reads the front of a body. One that breaks is as good as its front.
pub(super) async fn front(mut body: Incoming) -> String {
    let mut text = Vec::new();
    while text.len() < READ {
        match body.frame().await {
            Some(Ok(frame)) => text.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns whether our own protocol was selected.
fn check_upgrade<B>(response: &Response<B>, key: &str, native: bool) -> Result<bool, ConnectError> {
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
    if !header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
        return Err(ConnectError::Wrong("it names another protocol than websocket"));
    }
    if header(SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(ConnectError::Wrong("sec-websocket-accept does not fit the key"));
    }
    match header(SEC_WEBSOCKET_PROTOCOL) {
        None => Ok(false),
        Some(selected) if native && selected == SUBPROTOCOL.as_bytes() => Ok(true),
        Some(_) => Err(ConnectError::Wrong("it selects a protocol that was not offered")),
    }
}
