//! Where a request came from, behind proxies too.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Returns the sender's address: the peer's, unless that is a trusted proxy. Then `X-Forwarded-For` is walked from the
/// right, past trusted proxies, to the first address that nobody vouches for; text that is no address ends the walk.
pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut source = peer.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = forwarded.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while is_trusted(&source) {
        let Some(hop) = hops.next().and_then(parse) else { break };
        source = hop;
    }
    source
}

/// Reads an address, in brackets and with a port too.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let address =
        text.parse::<IpAddr>().or_else(|_| text.parse().map(|socket: std::net::SocketAddr| socket.ip()));
    let address = address.or_else(|_| text.trim_matches(['[', ']']).parse());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(source("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn trusted_proxies_are_walked_from_the_right() {
        assert_eq!(source("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.2.2.2"]), "198.51.100.7");
        assert_eq!(source("10.0.0.1", &["6.6.6.6", "198.51.100.7:55"]), "198.51.100.7");
        assert_eq!(source("::1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn a_header_that_is_missing_or_garbled_leaves_the_last_address_known() {
        assert_eq!(source("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["10.1.1.1"]), "10.1.1.1");
    }
}
