//! Where the receiver is, as users write it.

use http::Uri;
use serde::Deserialize;

/// The path of streams, below the receiver's prefix.
const STREAM: &str = "/connect/stream";

/// The receiver's address: `https://host[:port][/prefix][/connect/stream]`; `http`, `ws` and `wss` are taken too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address {
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// The name or address to connect to, an IPv6 address without brackets.
    pub(crate) host: String,
    /// The port to connect to.
    pub(crate) port: u16,
    /// The value of `Host`.
    authority: String,
    /// What stands before the stream's path; empty or `/…`.
    prefix: String,
}

impl Address {
    /// Returns the value of the header `Host`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns host and port, as a proxy wants them.
    pub(crate) fn with_port(&self) -> String {
        let brackets = self.host.contains(':');
        if brackets {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns the path of the stream of `channel`.
    pub(crate) fn stream_path(&self, channel: &str) -> String {
        format!("{}{STREAM}/{channel}", self.prefix)
    }

    /// Returns the path of `what` below `/connect`.
    pub(crate) fn connect_path(&self, what: &str) -> String {
        format!("{}/connect/{what}", self.prefix)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shape = "expected a URL such as `https://receiver.example.com`";
        let uri: Uri = text.trim().parse().map_err(|_| shape.to_owned())?;
        let authority = uri.authority().ok_or(shape)?;
        let scheme = uri.scheme_str().ok_or(shape)?.to_ascii_lowercase();
        let tls = match scheme.as_str() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err("expected a URL that begins with `https`, `http`, `wss` or `ws`".to_owned()),
        };
        if authority.as_str().contains('@') {
            return Err("the URL must hold no user or password; the token goes into `token`".to_owned());
        }
        if uri.query().is_some() {
            return Err("the URL must have no `?`; the token goes into `token`".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(shape.to_owned());
        }
        let path = uri.path().trim_end_matches('/');
        let prefix = path.strip_suffix(STREAM).unwrap_or(path).trim_end_matches('/').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port, authority: authority.as_str().to_owned(), prefix })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn every_way_to_write_an_address_leads_to_the_stream() {
        for (text, tls, host, port, path) in [
            ("https://a.example", true, "a.example", 443, "/connect/stream/c"),
            ("http://a.example:8080/", false, "a.example", 8080, "/connect/stream/c"),
            ("WSS://a.example/connect/stream", true, "a.example", 443, "/connect/stream/c"),
            ("ws://a.example/hooks/connect/stream/", false, "a.example", 80, "/hooks/connect/stream/c"),
            ("https://a.example/hooks", true, "a.example", 443, "/hooks/connect/stream/c"),
            ("http://[::1]:9/x", false, "::1", 9, "/x/connect/stream/c"),
        ] {
            let address = read(text).unwrap();
            let seen = (address.tls, address.host.as_str(), address.port, address.stream_path("c"));
            assert_eq!(seen, (tls, host, port, path.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "a.example", "ftp://a.example", "https://u:p@a.example", "https://a.example/?token=x"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
