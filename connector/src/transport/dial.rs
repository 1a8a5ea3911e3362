//! From an address to a WebSocket connection: TCP, TLS, the upgrade by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::config::Secret;
use http::header::{AUTHORIZATION, CONNECTION, HOST, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use schemas::wire::{SUBPROTOCOL, VERSION, VERSION_HEADER};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::websocket::Link;
use crate::address::Address;

/// How long connecting may take, name look-up and TLS included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a refusal's text is shown, in characters.
const SHOWN: usize = 200;

/// How much of a refusal's text is read, in bytes.
const READ: usize = 4096;

/// Makes connections to one channel's stream.
pub(crate) struct Dialer {
    address: Address,
    path: String,
    token: Secret,
    authorization: HeaderValue,
    tls: Option<TlsConnector>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The receiver refused the token.
    #[error("the receiver refused the token (401): {0}")]
    Token(String),
    /// The receiver, or something before it, gave another answer than the upgrade.
    #[error("the receiver answered {0}: {1}")]
    Answer(StatusCode, String),
    /// The receiver does not speak our protocol.
    #[error(
        "the receiver did not accept the protocol {SUBPROTOCOL}: it is another product, an older version, or a proxy removed the header sec-websocket-protocol"
    )]
    Protocol,
    /// The upgrade is not one.
    #[error("the receiver's answer to the upgrade is wrong: {0}")]
    Upgrade(&'static str),
    /// No answer in time.
    #[error("no connection within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The TCP connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, #[source] std::io::Error),
    /// TLS.
    #[error("no encrypted connection to {0}: {1}")]
    Tls(String, #[source] std::io::Error),
    /// HTTP.
    #[error("the connection broke during the upgrade: {0}")]
    Http(#[from] hyper::Error),
}

/// A byte stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Dialer {
    /// Makes a dialer. `tls` is there when the address wants it.
    ///
    /// # Errors
    /// The token has characters that no header can hold.
    pub(crate) fn new(
        address: Address,
        channel: &str,
        token: Secret,
        tls: Option<TlsConnector>,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
        authorization.set_sensitive(true);
        Ok(Self { path: address.stream_path(channel), address, token, authorization, tls })
    }

    /// Returns where it connects to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects. Cancelling drops the connection.
    ///
    /// # Errors
    /// Why none came about.
    pub(crate) async fn connect(&self) -> Result<Link, ConnectError> {
        let upgraded = tokio::time::timeout(TIMEOUT, self.upgraded()).await;
        Ok(Link::new(upgraded.map_err(|_| ConnectError::Timeout)??).await)
    }

    async fn upgraded(&self) -> Result<Upgraded, ConnectError> {
        let stream = self.stream().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The task ends with this call or with the upgrade, which takes the stream out of it.
        let _driver = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let key = generate_key();
        let response = sender.send_request(self.request(&key)).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refused(response).await);
        }
        check_upgrade(&response, &key)?;
        Ok(hyper::upgrade::on(response).await?)
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let Address { host, port, .. } = &self.address;
        let authority = || self.address.authority().to_owned();
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(|error| ConnectError::Connect(authority(), error))?;
        // Without it frames only wait longer.
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let broken = |error| ConnectError::Tls(authority(), error);
        let name =
            ServerName::try_from(host.clone()).map_err(|error| broken(std::io::Error::other(error)))?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(broken)?))
    }

    fn request(&self, key: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        // The path is made of a parsed URL and a checked channel name.
        *request.uri_mut() = self.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        headers.insert(VERSION_HEADER, HeaderValue::from_static(VERSION));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("webhook-connect/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, value) in [(HOST, self.address.authority()), (SEC_WEBSOCKET_KEY, key)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        request
    }

    /// Reads what the receiver says about a refusal: where it points to, or the front of its body. An answer that repeats
    /// the request must not bring the token into the log.
    async fn refused(&self, response: Response<Incoming>) -> ConnectError {
        let status = response.status();
        let text = match response.headers().get(LOCATION) {
            Some(place) if status.is_redirection() => {
                format!("it points to {}", String::from_utf8_lossy(place.as_bytes()))
            }
            Some(_) | None => front(response.into_body()).await,
        };
        let text = text.replace(self.token.expose(), "***");
        let text = text.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if status == StatusCode::UNAUTHORIZED {
            ConnectError::Token(text)
        } else {
            ConnectError::Answer(status, text)
        }
    }
}

/// Reads the front of a body. One that breaks is as good as its front.
async fn front(mut body: Incoming) -> String {
    let mut text = Vec::new();
    while text.len() < READ {
        match body.frame().await {
            Some(Ok(frame)) => text.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) | None => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn check_upgrade<B>(response: &Response<B>, key: &str) -> Result<(), ConnectError> {
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
    if !header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
        return Err(ConnectError::Upgrade("it names another protocol than websocket"));
    }
    if header(SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(ConnectError::Upgrade("sec-websocket-accept does not fit the key"));
    }
    if header(SEC_WEBSOCKET_PROTOCOL) != Some(SUBPROTOCOL.as_bytes()) {
        return Err(ConnectError::Protocol);
    }
    Ok(())
}

/// Makes the client's side of TLS: ring, the system's certificates.
///
/// # Errors
/// The system has no certificates, or ring none of the needed ciphers.
pub(crate) fn tls() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("the system's certificates cannot be read{why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests;
