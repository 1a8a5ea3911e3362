//! The proxy on the way out, as the environment names it: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::config::Lookup;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Body, ConnectError};
use crate::address::Address;

/// An HTTP proxy. Its credentials are never shown.
#[derive(Clone)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Returns the proxy that the environment names for the way to `address`; none when the way is direct. Loopback
    /// addresses are always reached directly.
    ///
    /// # Errors
    /// The variable holds no proxy that can be used. The text names the variable and not its value.
    pub(crate) fn find(environment: &dyn Lookup, address: &Address) -> Result<Option<Self>, String> {
        let names = if address.tls { ["https_proxy", "HTTPS_PROXY"] } else { ["http_proxy", "HTTP_PROXY"] };
        let set = |names: [&'static str; 2]| {
            names
                .into_iter()
                .find_map(|name| Some((name, environment.get(name).filter(|text| !text.is_empty())?)))
        };
        let Some((name, text)) = set(names) else { return Ok(None) };
        let exceptions = set(["no_proxy", "NO_PROXY"]).map(|(_, list)| list).unwrap_or_default();
        if is_loopback(&address.host) || is_excepted(&exceptions, &address.host, address.port) {
            return Ok(None);
        }
        let wrong = "is no proxy that can be used: expected http://[USER:PASSWORD@]HOST[:PORT]";
        Self::parse(&text).map(Some).ok_or_else(|| format!("the environment variable {name} {wrong}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() {
            return None;
        }
        let authorization = match authority.as_str().rsplit_once('@') {
            None => None,
            Some((user, _)) => {
                let user = percent_decoded(user)?;
                let user = if user.contains(&b':') { user } else { [user, b":".to_vec()].concat() };
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user))).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: authority.port_u16().unwrap_or(80), authorization })
    }

    /// Returns its name, for people.
    pub(crate) fn name(&self) -> String {
        format!("the proxy {}:{}", self.host, self.port)
    }

    /// Returns what a request through it must bear.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Connects to the proxy itself.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        stream.map_err(|error| ConnectError::Connect(self.name(), error))
    }

    /// Has the proxy make a connection to `address`, through which anything can be sent.
    ///
    /// # Errors
    /// The proxy is not there or does not want to.
    pub(crate) async fn tunnel(&self, address: &Address) -> Result<Upgraded, ConnectError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The task ends with this call or with the upgrade, which takes the stream out of it.
        let _driver = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let target = address.with_port();
        let mut request = Request::new(Body::default());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.parse().unwrap_or_default();
        if let Ok(host) = HeaderValue::try_from(target) {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let response = sender.send_request(request).await?;
        match response.status() {
            status if status.is_success() => Ok(hyper::upgrade::on(response).await?),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(ConnectError::Proxy(self.name(), "it wants other credentials (407)".to_owned()))
            }
            status => Err(ConnectError::Proxy(self.name(), format!("it answered {status}"))),
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns true when the list, as curl and Go read it, has `host`: names with everything below them, addresses,
/// networks, `*`; each with a port or without.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    list.split(',').map(|item| item.trim().to_ascii_lowercase()).filter(|item| !item.is_empty()).any(|item| {
        if item == "*" {
            return true;
        }
        if let Some(ip) = ip {
            let bare = item.trim_start_matches('[').trim_end_matches(']');
            if let Ok(network) = bare.parse::<IpNet>() {
                return network.contains(&ip);
            }
            if let Ok(address) = bare.parse::<IpAddr>() {
                return address == ip;
            }
        }
        let (name, only) = match item.rsplit_once(':') {
            Some((name, digits)) if digits.parse::<u16>().is_ok() => (name, digits.parse::<u16>().ok()),
            Some(_) | None => (item.as_str(), None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        let fits = host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
        fits && only.is_none_or(|only| only == port)
    })
}

/// Returns the bytes that `%41` and the like stand for; none when they stand for nothing.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?].map(|digit| char::from(digit).to_digit(16));
            let value = digits[0]? * 16 + digits[1]?;
            decoded.push(u8::try_from(value).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
pub(super) mod tests;
