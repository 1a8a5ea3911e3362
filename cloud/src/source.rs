//! Where a request came from, behind proxies too.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use engine::network::Networks;
use http::HeaderMap;

/// Returns the sender's address: the peer's, unless that is a trusted proxy. Then `X-Forwarded-For` is walked from the
/// right, past trusted proxies, to the first address that nobody vouches for; text that is no address ends the walk at the
/// last one that was. What a sender wrote there itself stands further left and is never reached.
pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut source = peer.to_canonical();
    let forwarded = headers.get_all("x-forwarded-for").iter().rev();
    let mut hops = forwarded.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while trusted.contains(source) {
        let Some(hop) = hops.next().and_then(parse) else { break };
        source = hop;
    }
    source
}

/// Reads an address, in brackets and with a port too.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = text.parse().ok().or_else(with_port).or_else(in_brackets)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let trusted = Networks::from(["10.0.0.0/8", "::1", "2001:db8:1::/48"].map(str::to_owned).to_vec());
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(source("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(source("192.0.2.1", &["198.51.100.7, 10.0.0.1"]), "192.0.2.1");
    }

    #[test]
    fn trusted_proxies_are_walked_from_the_right() {
        assert_eq!(source("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.2.2.2"]), "198.51.100.7");
        assert_eq!(source("10.0.0.1", &["6.6.6.6", "198.51.100.7:55"]), "198.51.100.7");
        assert_eq!(source("::1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn what_a_sender_writes_there_itself_never_wins() {
        let forged =
            ["10.9.9.9", "6.6.6.6", "garbage", "::ffff:10.0.0.9", "", "[::1]:80", "2001:db8:1::9, 6.6.6.6"];
        for forged in forged {
            let appended = format!("{forged}, 198.51.100.7");
            for lines in [&[forged, "198.51.100.7"][..], &[&appended], &[forged, "198.51.100.7, 10.2.2.2"]] {
                assert_eq!(source("10.0.0.1", lines), "198.51.100.7", "{lines:?}");
            }
        }
    }

    #[test]
    fn an_address_is_understood_in_every_way_it_is_written() {
        for (written, found) in [
            ("198.51.100.7", "198.51.100.7"),
            (" 198.51.100.7:443 ", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
        ] {
            assert_eq!(source("10.0.0.1", &[written]), found, "{written}");
        }
        for garbled in
            ["unknown", "[198.51.100.7]", "[[2001:db8::1]]", "198.51.100.7:x", "198.51.100", "_hidden", ""]
        {
            assert_eq!(source("10.0.0.1", &[garbled]), "10.0.0.1", "{garbled}");
        }
    }

    #[test]
    fn an_ipv4_address_that_is_written_as_one_of_ipv6_is_the_same_one() {
        assert_eq!(source("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(source("10.0.0.1", &["198.51.100.7, ::ffff:10.2.2.2"]), "198.51.100.7");
        assert_eq!(source("::ffff:192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn a_header_that_is_missing_or_garbled_leaves_the_last_address_known() {
        assert_eq!(source("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(source("10.0.0.1", &["198.51.100.7, unknown, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(source("10.0.0.1", &["10.1.1.1"]), "10.1.1.1");
    }
}
