//! Which headers a request carries.

use std::collections::BTreeMap;

use engine::config::Secret;
use engine::moment;
use engine::webhook::Webhook;
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

/// Names of ours begin with this; a sender cannot send them.
const OURS: &str = "x-webhook-connect-";

/// What belongs to one connection or one request and is made anew for the next.
const OF_THE_HOP: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "host",
    "content-length",
    "expect",
];

/// What a configured header may not be: the client frames the request.
const FRAMING: [&str; 4] = ["connection", "content-length", "transfer-encoding", "upgrade"];

/// What tells how to read the body, which is forwarded as it is.
const OF_THE_BODY: [&str; 2] = ["content-type", "content-encoding"];

/// What is a secret between the sender and the receiver.
const OF_THE_SENDER: [&str; 2] = ["authorization", "cookie"];

/// Decides which headers a request carries.
pub(super) struct Forwarding {
    /// Forward the sender's headers.
    pub(super) all: bool,
    /// Only these, when given.
    pub(super) only: Option<Vec<Name>>,
    /// The sender's secrets too.
    pub(super) authorization: bool,
    /// Every header once more under the names of the Python connector.
    pub(super) originals: bool,
    /// What is added to every request and wins.
    pub(super) configured: Configured,
}

/// The name of a header.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(super) struct Name(#[schemars(with = "String")] HeaderName);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        HeaderName::try_from(&name).map(Self).map_err(|_| format!("`{name}` is no name a header can have"))
    }
}

/// Headers as users write them, with values that are never printed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, Secret>")]
#[schemars(inline)]
pub(super) struct Configured(#[schemars(with = "BTreeMap<String, Secret>")] HeaderMap);

impl TryFrom<BTreeMap<String, Secret>> for Configured {
    type Error = String;

    fn try_from(headers: BTreeMap<String, Secret>) -> Result<Self, String> {
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let Name(parsed) = Name::try_from(name)?;
            if FRAMING.contains(&parsed.as_str()) {
                return Err(format!("`{parsed}` is set by the HTTP client and cannot be configured"));
            }
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("the value of `{parsed}` holds characters that a header cannot have"))?;
            value.set_sensitive(true);
            if map.insert(&parsed, value).is_some() {
                return Err(format!("`{parsed}` is given twice"));
            }
        }
        Ok(Self(map))
    }
}

impl Forwarding {
    /// Returns the headers of the request that brings `webhook`.
    pub(super) fn headers(&self, webhook: &Webhook) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(32);
        for (name, value) in webhook.head.headers.iter() {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) else {
                // A stored header that HTTP cannot carry came over a wire that could.
                continue;
            };
            if self.forwards(&name) {
                headers.append(name, value);
            }
        }
        if self.originals {
            self.repeat(webhook, &mut headers);
        }
        describe(webhook, &mut headers);
        for (name, value) in &self.configured.0 {
            headers.insert(name, value.clone());
        }
        headers
    }

    /// Adds the sender's headers under other names, and the Python connector's names for what is known.
    fn repeat(&self, webhook: &Webhook, headers: &mut HeaderMap) {
        for (name, value) in webhook.head.headers.iter() {
            let name = name.to_ascii_lowercase();
            let is_secret = OF_THE_SENDER.contains(&name.as_str()) && !self.authorization;
            let original = HeaderName::try_from(format!("x-original-{name}"));
            if let (Ok(original), Ok(value), false) = (original, HeaderValue::from_bytes(value), is_secret) {
                headers.append(original, value);
            }
        }
        let id = webhook.id().to_string();
        let known = [
            ("x-webhook-message-id", id.as_str()),
            ("x-webhook-id", &webhook.head.webhook),
            ("x-webhook-attempt", &webhook.transit.attempt.to_string()),
        ];
        for (name, value) in known {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    fn forwards(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        if OF_THE_HOP.contains(&text) || text.starts_with(OURS) {
            return false;
        }
        if OF_THE_SENDER.contains(&text) {
            return self.authorization;
        }
        let chosen = self.only.as_ref().is_none_or(|only| only.iter().any(|Name(one)| one == name));
        OF_THE_BODY.contains(&text) || (self.all && chosen)
    }
}

/// Adds what is known about the webhook.
fn describe(webhook: &Webhook, headers: &mut HeaderMap) {
    let (head, transit) = (&webhook.head, &webhook.transit);
    let id = webhook.id().to_string();
    let known = [
        ("x-webhook-connect-id", id.as_str()),
        ("x-webhook-connect-channel", &transit.channel),
        ("x-webhook-connect-webhook", &head.webhook),
        ("x-webhook-connect-sequence", &transit.sequence.to_string()),
        ("x-webhook-connect-attempt", &transit.attempt.to_string()),
        ("x-webhook-connect-received-at", &moment::to_text(head.received)),
        ("x-webhook-connect-source-ip", &head.source.to_string()),
    ];
    for (name, value) in known {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    for name in ["webhook-id", "idempotency-key"] {
        // The sender's own may be part of what it signed.
        if let (None, Ok(value)) = (head.headers.get(name), HeaderValue::from_str(&id)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;
    use engine::webhook::Transit;

    const SENT: [(&str, &[u8]); 10] = [
        ("Content-Type", b"application/json"),
        ("Stripe-Signature", b"t=1,v1=ff"),
        ("X-Tag", b"one"),
        ("X-Tag", b"tw\xe9"),
        ("Host", b"relay.example"),
        ("Connection", b"close"),
        ("Authorization", b"Bearer sender"),
        ("Cookie", b"a=b"),
        ("X-Webhook-Connect-Id", b"forged"),
        ("X-Webhook-Connect-Verified", b"forged"),
    ];

    fn forwarding() -> Forwarding {
        Forwarding {
            all: true,
            only: None,
            authorization: false,
            originals: false,
            configured: Configured::default(),
        }
    }

    /// The sender's headers that `forwarding` passes on.
    fn forwarded(forwarding: &Forwarding) -> Vec<(String, Vec<u8>)> {
        let headers = forwarding.headers(&webhook(&SENT, b"{}"));
        let theirs = headers.iter().filter(|(name, _)| {
            !name.as_str().starts_with(OURS) && !["webhook-id", "idempotency-key"].contains(&name.as_str())
        });
        theirs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn names(forwarding: &Forwarding) -> Vec<String> {
        forwarded(forwarding).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_sender_s_headers_are_forwarded_with_their_repeats_and_without_secrets() {
        let expected = [
            ("content-type", b"application/json".as_slice()),
            ("stripe-signature", b"t=1,v1=ff"),
            ("x-tag", b"one"),
            ("x-tag", b"tw\xe9"),
        ];
        assert_eq!(forwarded(&forwarding()), expected.map(|(n, v)| (n.to_owned(), v.to_vec())));
    }

    #[test]
    fn less_is_forwarded_when_told_so_and_the_type_of_the_body_always() {
        assert_eq!(names(&Forwarding { all: false, ..forwarding() }), ["content-type"]);
        let only = Some(vec![Name(HeaderName::from_static("stripe-signature"))]);
        assert_eq!(names(&Forwarding { only, ..forwarding() }), ["content-type", "stripe-signature"]);
        assert_eq!(names(&Forwarding { only: Some(Vec::new()), ..forwarding() }), ["content-type"]);
    }

    #[test]
    fn the_sender_s_secrets_are_forwarded_only_when_told_so() {
        let names = names(&Forwarding { authorization: true, ..forwarding() });
        assert!(
            names.contains(&"authorization".to_owned()) && names.contains(&"cookie".to_owned()),
            "{names:?}"
        );
    }

    #[test]
    fn the_sender_s_headers_are_repeated_under_other_names_when_told_so() {
        let headers = Forwarding { originals: true, ..forwarding() }.headers(&webhook(&SENT, b""));
        let tags: Vec<_> = headers.get_all("x-original-x-tag").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(tags, [b"one".as_slice(), b"tw\xe9"]);
        assert_eq!(
            (&headers["x-original-host"], &headers["x-webhook-id"]),
            (&"relay.example".parse().unwrap(), &"orders".parse().unwrap())
        );
        assert_eq!(
            (&headers["x-webhook-message-id"], &headers["x-webhook-attempt"]),
            (&headers["x-webhook-connect-id"], &"1".parse().unwrap())
        );
        assert!(
            !headers.contains_key("x-original-authorization") && !headers.contains_key("x-original-cookie")
        );
    }

    #[test]
    fn configured_headers_win() {
        let configured = serde_json::from_str(r#"{"X-Tag": "ours", "webhook-id": "mine"}"#).unwrap();
        let headers = Forwarding { configured, ..forwarding() }.headers(&webhook(&SENT, b""));
        assert_eq!(headers.get_all("x-tag").iter().collect::<Vec<_>>(), ["ours"]);
        assert_eq!(headers["webhook-id"], "mine");
    }

    #[test]
    fn what_is_known_about_the_webhook_is_added_and_cannot_be_forged() {
        let mut webhook = webhook(&SENT, b"{}");
        webhook.transit = Transit { channel: "pay".into(), sequence: 7, attempt: 2, expires: None };
        let headers = forwarding().headers(&webhook);
        assert!(!headers.contains_key("x-webhook-connect-verified"));
        let id = webhook.id().to_string();
        for (name, value) in [
            ("x-webhook-connect-id", id.as_str()),
            ("x-webhook-connect-channel", "pay"),
            ("x-webhook-connect-webhook", "orders"),
            ("x-webhook-connect-sequence", "7"),
            ("x-webhook-connect-attempt", "2"),
            ("x-webhook-connect-received-at", &moment::to_text(webhook.head.received)),
            ("x-webhook-connect-source-ip", "127.0.0.1"),
            ("webhook-id", &id),
            ("idempotency-key", &id),
        ] {
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
    }

    #[test]
    fn the_sender_s_own_ids_are_kept() {
        let headers =
            forwarding().headers(&webhook(&[("Webhook-Id", b"evt_1"), ("Idempotency-Key", b"k")], b""));
        assert_eq!(
            (&headers["webhook-id"], &headers["idempotency-key"]),
            (&"evt_1".parse().unwrap(), &"k".parse().unwrap())
        );
    }

    #[test]
    fn headers_that_cannot_be_are_refused_without_showing_their_value() {
        for headers in [
            r#"{"a b": "x"}"#,
            r#"{"content-length": "1"}"#,
            r#"{"X-A": "planted\n"}"#,
            r#"{"x-a": "", "X-A": ""}"#,
        ] {
            let error = serde_json::from_str::<Configured>(headers).err().unwrap();
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }
}
