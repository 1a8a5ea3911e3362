//! Networks in settings: who is meant by an address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Faults, Node};

/// A list of networks, each written as `10.0.0.0/8`, `2001:db8::/32` or as one address.
///
/// An IPv4 address that is written as one of IPv6 (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is the IPv4 address, in
/// the list and where it is looked for. Bits of a network's address beyond its length do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Vec<String>")]
#[schemars(inline)]
pub struct Networks(#[schemars(with = "Vec<String>")] Vec<Option<IpNet>>);

impl From<Vec<String>> for Networks {
    fn from(texts: Vec<String>) -> Self {
        Self(texts.iter().map(|text| read(text)).collect())
    }
}

impl Networks {
    /// Complains about every entry that is neither a network nor an address. `at` is the list.
    pub fn check(&self, at: &Node, faults: &mut Faults) {
        for (index, _) in self.0.iter().enumerate().filter(|(_, network)| network.is_none()) {
            if let Some(place) = at.place_of(&at.at().index(index)) {
                faults.add(&place, "expected a network like 10.0.0.0/8 or an address", None);
            }
        }
    }

    /// Returns true when the list has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true when `address` is in one of the networks. Entries that cannot be read hold nobody.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().flatten().any(|network| network.contains(&address))
    }
}

fn read(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    let IpNet::V6(wide) = network else { return Some(network) };
    let mapped = wide.addr().to_ipv4_mapped().zip(wide.prefix_len().checked_sub(96));
    let narrow = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    Some(narrow.map_or(network, IpNet::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Pointer, left_open};
    use serde_json::{Value, json};

    fn networks(list: &Value) -> (Networks, Vec<String>) {
        let (node, mut faults) = (Node::new(list.clone(), Pointer::root().child("list")), Faults::default());
        let networks: Networks = node.parse(&mut faults).unwrap();
        networks.check(&node, &mut faults);
        (networks, faults.iter().map(|fault| fault.at.to_string()).collect())
    }

    #[test]
    fn an_address_is_looked_for_in_every_network() {
        for (list, inside, outside) in [
            (json!(["203.0.113.9"]), "203.0.113.9", "203.0.113.8"),
            (json!(["192.0.2.1", "203.0.113.0/24"]), "203.0.113.255", "203.0.114.0"),
            (json!(["203.0.113.77/24"]), "203.0.113.1", "203.0.112.1"),
            (json!(["2001:db8::/32"]), "2001:db8:ffff::1", "2001:db9::1"),
            (json!(["2001:0db8:0:0::1"]), "2001:db8::1", "2001:db8::2"),
            (json!(["203.0.113.9"]), "::ffff:203.0.113.9", "::203.0.113.9"),
            (json!(["::ffff:203.0.113.9"]), "203.0.113.9", "203.0.113.8"),
            (json!(["::ffff:10.0.0.0/104"]), "10.255.0.1", "11.0.0.1"),
            (json!(["0.0.0.0/0"]), "203.0.113.9", "2001:db8::1"),
            (json!(["::/0"]), "2001:db8::1", "203.0.113.9"),
        ] {
            let (networks, faults) = networks(&list);
            assert_eq!(faults, Vec::<String>::new(), "{list}");
            assert!(networks.contains(inside.parse().unwrap()), "{inside} in {list}");
            assert!(!networks.contains(outside.parse().unwrap()), "{outside} in {list}");
        }
    }

    #[test]
    fn every_entry_that_cannot_be_read_is_named_and_holds_nobody() {
        let list = json!(["10.0.0.1", "010.0.0.1", "10.0.0.0/33", "host", "", "10.0.0.1:80", "fe80::1%eth0"]);
        let (networks, faults) = networks(&list);
        assert_eq!(faults, ["/list/1", "/list/2", "/list/3", "/list/4", "/list/5", "/list/6"]);
        assert!(networks.contains("10.0.0.1".parse().unwrap()));
        assert!(!networks.contains("10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn nothing_is_said_against_an_entry_that_is_left_open() {
        assert_eq!(networks(&json!([left_open("{$PROXY}")])).1, Vec::<String>::new());
    }
}
