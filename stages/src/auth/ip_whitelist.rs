//! The gate that lets webhooks pass by the address they come from.

use engine::ack::Answer;
use engine::config::{Faults, Node};
use engine::kind::Gate;
use engine::network::Networks;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

/// Let webhooks pass that come from one of these addresses or networks: `203.0.113.9`, `203.0.113.0/24`, `2001:db8::/32`.
///
/// Behind a proxy every webhook comes from the proxy's address, unless `trusted_proxies` names it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct IpWhitelist(#[schemars(length(min = 1))] Networks);

impl Gate for IpWhitelist {
    const NAME: &'static str = "ip_whitelist";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.0.is_empty() {
            faults.add(at.at(), "the list of addresses is empty, so nobody could pass", None);
        }
        self.0.check(at, faults);
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let source = webhook.head.source;
        if self.0.contains(source) {
            Ok(())
        } else {
            let reason = format!("the address {source} is not in the list");
            Err(Answer::new(403, "Forbidden").because(&reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, agrees_but_for, faults, parse};
    use engine::kind::Kind;
    use serde_json::json;

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        let different = [
            ("ip cidr", "it knows single addresses alone"),
            ("ip v4mapped", "it takes an IPv4 address that is written as one of IPv6 for another one"),
        ];
        agrees_but_for::<IpWhitelist>(&json!({}), &different).await;
    }

    #[tokio::test]
    async fn an_address_in_the_list_passes_and_another_is_forbidden_with_the_address_in_the_log() {
        let gate: IpWhitelist = parse(json!(["192.0.2.1", "203.0.113.0/24"]));
        let decide = async |source: &str| {
            let request = Request { source: source.parse().unwrap(), ..Request::default() };
            gate.admit(&request.webhook()).await
        };
        for source in ["192.0.2.1", "203.0.113.9", "::ffff:203.0.113.9"] {
            assert_eq!(decide(source).await, Ok(()), "{source}");
        }
        let refusal = decide("192.0.2.2").await.unwrap_err();
        assert_eq!((refusal.status, refusal.detail), (403, "Forbidden"));
        assert_eq!(refusal.reason.unwrap().as_str(), "the address 192.0.2.2 is not in the list");
    }

    #[test]
    fn a_list_that_is_empty_or_cannot_be_read_is_refused() {
        for (settings, places) in [
            (json!([]), vec!["/"]),
            (json!(["nowhere"]), vec!["/0"]),
            (json!(["10.0.0.1", "nowhere", "10.0.0.0/40"]), vec!["/1", "/2"]),
            (json!(null), vec!["/"]),
            (json!({}), vec!["/"]),
            (json!("10.0.0.1"), vec!["/"]),
        ] {
            let told = faults(&settings, Kind::gate::<IpWhitelist>());
            let found: Vec<_> = told.iter().map(|told| told.split(": ").next().unwrap_or_default()).collect();
            assert_eq!(found, places, "{settings}");
        }
    }
}
