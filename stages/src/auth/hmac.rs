//! The gate that checks a signature over the body, or over what its settings say.

use std::num::NonZeroU64;
use std::time::Duration;

use engine::ack::Answer;
use engine::config::{Faults, Node};
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::scheme::{
    Algorithm, Encoding, HeaderName, Key, KeyForm, Known, Part, Place, Prefix, Scheme, TOLERANCE, Template,
    check_keys,
};

/// Check that a header holds the HMAC of the exact body, or of what `signed` says.
///
/// Without further settings the signature is hexadecimal and may follow the name of the algorithm and `=`, as in
/// `sha256=6f2c...`. A webhook whose time of signing is known must have been signed within `tolerance_seconds`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hmac {
    /// The secret shared with the sender.
    #[serde(default)]
    secret: Option<Key>,
    /// Several secrets, each of which may have signed: the old and the new one while they are exchanged.
    #[serde(default)]
    secrets: Option<Vec<Key>>,
    /// The header that holds the signature.
    #[serde(default = "Hmac::default_header")]
    header: HeaderName,
    /// The hash function.
    #[serde(default)]
    algorithm: Algorithm,
    /// How the signature is written.
    #[serde(default)]
    encoding: Encoding,
    /// The text that must stand before the signature. Without it, the name of the algorithm and `=` may.
    #[serde(default)]
    prefix: Option<String>,
    /// What is signed: text with `{body}`, `{timestamp}`, `{url}`, `{method}`, `{path}` (with its query), `{id}` (the
    /// header `webhook-id`) and `{header:NAME}` in it. Default: `{body}`, or `{timestamp}.{body}` where there is a time of
    /// signing.
    #[serde(default)]
    #[schemars(example = "v0:{timestamp}:{body}")]
    signed: Option<Template>,
    /// The character between the items of the header, each of which may be a signature: one that is right is enough.
    /// Default: a comma where `timestamp_key` or `signature_key` is given; else the header is one signature.
    #[serde(default)]
    separator: Option<char>,
    /// The key and `=` that stand before a signature, as `v1` does in `t=1700000000,v1=6f2c...`.
    #[serde(default)]
    signature_key: Option<String>,
    /// The key before the time of signing within the header of the signature, as `t` in `t=1700000000,v1=6f2c...`.
    #[serde(default)]
    timestamp_key: Option<String>,
    /// The header that holds the time of signing: seconds or milliseconds since 1970, or ISO 8601 in UTC.
    #[serde(default)]
    timestamp_header: Option<HeaderName>,
    /// How many seconds the time of signing may be from now, in either direction. Default: 300.
    #[serde(default)]
    tolerance_seconds: Option<NonZeroU64>,
    /// The address the sender posts to, for `{url}`, without its query, which is taken from the request.
    #[serde(default)]
    url: Option<String>,
}

/// What is signed where nothing is said.
const BODY: &[Part] = &[Part::Body];

/// What is signed where nothing is said and there is a time of signing.
const TIMED: &[Part] = &[Part::Timestamp, Part::Text(std::borrow::Cow::Borrowed(".")), Part::Body];

impl Hmac {
    fn default_header() -> HeaderName {
        HeaderName("X-HMAC-Signature".to_owned())
    }

    fn timestamp(&self) -> Option<Place<'_>> {
        let header = self.timestamp_header.as_ref().map(|name| Place::Header(&name.0));
        header.or_else(|| self.timestamp_key.as_deref().map(Place::Item))
    }

    fn signed(&self) -> &[Part] {
        let default = if self.timestamp().is_some() { TIMED } else { BODY };
        self.signed.as_ref().map_or(default, |template| &template.0)
    }

    fn separator(&self) -> Option<char> {
        let items = self.timestamp_key.is_some() || self.signature_key.is_some();
        self.separator.or(items.then_some(','))
    }

    fn prefix(&self) -> Prefix<'_> {
        let text = self.prefix.as_deref().map(Prefix::Text);
        text.or(self.signature_key.as_deref().map(Prefix::Key)).unwrap_or(Prefix::Algorithm)
    }
}

impl Gate for Hmac {
    const NAME: &'static str = "hmac";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        check_keys("secret", self.secret.as_ref(), self.secrets.as_deref(), at, faults);
        let mut complain = |key: &str, problem: &str| faults.add(&at.at().child(key), problem, None);
        if self.prefix.is_some() && self.signature_key.is_some() {
            complain("prefix", "give either `prefix` or `signature_key`");
        }
        if self.timestamp_header.is_some() && self.timestamp_key.is_some() {
            complain("timestamp_key", "give either `timestamp_header` or `timestamp_key`");
        }
        if self.separator.is_some_and(|separator| !separator.is_ascii()) {
            complain("separator", "the separator must be an ASCII character");
        }
        let (timed, signed) = (self.timestamp().is_some(), self.signed());
        if !signed.contains(&Part::Body) {
            complain("signed", "`{body}` is not signed, so anybody could alter it");
        }
        if timed && !signed.contains(&Part::Timestamp) {
            complain("signed", "`{timestamp}` is not signed, so anybody could alter the time of signing");
        }
        if !timed && signed.contains(&Part::Timestamp) {
            complain("signed", "`{timestamp}` needs `timestamp_header` or `timestamp_key`");
        }
        if !timed && self.tolerance_seconds.is_some() {
            complain("tolerance_seconds", "nothing says where the time of signing stands");
        }
        if signed.contains(&Part::Url) && self.url.is_none() {
            complain("signed", "`{url}` needs `url`, the address the sender posts to");
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let scheme = Scheme {
            algorithm: self.algorithm,
            key: KeyForm::Text,
            header: &self.header.0,
            separator: self.separator(),
            prefix: self.prefix(),
            encoding: self.encoding,
            signed: self.signed(),
            timestamp: self.timestamp(),
        };
        let tolerance = Duration::from_secs(self.tolerance_seconds.map_or(TOLERANCE, NonZeroU64::get));
        let keys = self.secret.iter().chain(self.secrets.iter().flatten());
        scheme.admit(webhook, keys, Known { url: self.url.as_deref().unwrap_or_default(), tolerance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agrees_with_the_recorded_decisions, faults, parse, webhook};
    use engine::clock;
    use engine::kind::Kind;
    use serde_json::json;
    use std::time::UNIX_EPOCH;

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_with_the_recorded_decisions::<Hmac>().await;
    }

    #[tokio::test]
    async fn a_body_that_changed_by_one_byte_is_refused() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "k", "header": "X-Sig"})).unwrap();
        let signature = b"c3a92ff9e274cdcce27a58c15a78ec6dcbbdbd0038a87e7a11baef2028fd8bff";
        assert!(gate.admit(&webhook(&[("x-sig", signature)], b"{\"a\":1}")).await.is_ok());
        assert!(gate.admit(&webhook(&[("x-sig", signature)], b"{\"a\":1} ")).await.is_err());
        assert!(gate.admit(&webhook(&[("x-sig", &signature[..62])], b"{\"a\":1}")).await.is_err());
        assert!(gate.admit(&webhook(&[("x-sig", b"")], b"{\"a\":1}")).await.is_err());
    }

    #[tokio::test]
    async fn a_missing_header_and_a_wrong_signature_look_alike_to_the_sender() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "k"})).unwrap();
        let absent = gate.admit(&webhook(&[], b"")).await.unwrap_err();
        let wrong = gate.admit(&webhook(&[("X-HMAC-Signature", b"00")], b"")).await.unwrap_err();
        assert_eq!((absent.status, absent.detail), (wrong.status, wrong.detail));
    }

    #[tokio::test(start_paused = true)]
    async fn the_settings_say_what_is_signed_and_how_the_signature_is_written() {
        let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let gate: Hmac = parse(json!({
            "secret": "k", "algorithm": "sha384", "encoding": "base64url", "prefix": "sig:", "header": "X-Sig",
            "signed": "{method} {path} {url} {timestamp} {id} {header:X-Kind} {body}",
            "timestamp_header": "X-Time", "url": "https://x.example/h",
        }));
        let signature = b"sig:7jGWPQldgqwKQLABiDxHqhTwQZAMmNihVHVR6Jp1LxStFrSJ__qk5wi6-1j2xunR";
        let admits = async |kind: &[u8], signature: &[u8]| {
            let headers: [(&str, &[u8]); 4] =
                [("X-Sig", signature), ("X-Time", b"1700000000"), ("webhook-id", b"evt_1"), ("X-Kind", kind)];
            gate.admit(&webhook(&headers, b"{\"a\":1}")).await.is_ok()
        };
        assert!(admits(b"v", signature).await);
        assert!(!admits(b"w", signature).await);
        assert!(!admits(b"v", &signature[4..]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_right_signature_of_several_is_enough_within_the_tolerance() {
        let gate: Hmac = parse(json!({
            "secrets": ["new", "k"], "header": "X-Sig", "timestamp_key": "t", "signature_key": "v1",
            "tolerance_seconds": 10,
        }));
        let right = "1b6ad1bc9bf48c52ce01939866d5877c6cc4e87ddad27e16673cb8c4964394a3";
        let (wrong, body) = ("0".repeat(64), b"{\"a\":1}");
        let at = async |now: u64, header: String| {
            let _simulated = clock::simulate(UNIX_EPOCH + Duration::from_secs(now));
            gate.admit(&webhook(&[("X-Sig", header.as_bytes())], body)).await.is_ok()
        };
        let several = || format!("t=1700000000, v1={wrong}, v1={right}, v0={wrong}");
        assert!(at(1_700_000_010, several()).await && at(1_699_999_990, several()).await);
        assert!(!at(1_700_000_011, several()).await && !at(1_699_999_989, several()).await);
        assert!(!at(1_700_000_000, format!("t=1700000000,v0={right}")).await);
        assert!(!at(1_700_000_000, format!("v1={right}")).await);
        assert!(!at(1_700_000_000, format!("t=1700000001,v1={right}")).await);
    }

    #[test]
    fn settings_that_protect_nothing_are_refused() {
        for settings in [
            json!({}),
            json!({"secret": ""}),
            json!({"secret": "k", "algorithm": "md5"}),
            json!({"secret": "k", "header": "not a name"}),
            json!({"secret": "k", "headr": "X-Sig"}),
            json!({"secrets": []}),
            json!({"secrets": ["k", ""]}),
            json!({"secret": "k", "secrets": ["k"]}),
            json!({"secret": "k", "signed": "{bdy}{body}"}),
            json!({"secret": "k", "signed": "{body"}),
            json!({"secret": "k", "signed": "x"}),
            json!({"secret": "k", "signed": "{timestamp}{body}"}),
            json!({"secret": "k", "signed": "{body}", "timestamp_header": "X-Time"}),
            json!({"secret": "k", "signed": "{url}{body}"}),
            json!({"secret": "k", "tolerance_seconds": 5}),
            json!({"secret": "k", "timestamp_header": "X-Time", "timestamp_key": "t"}),
            json!({"secret": "k", "prefix": "v1=", "signature_key": "v1"}),
            json!({"secret": "k", "separator": "é"}),
        ] {
            assert_eq!(faults(&settings, Kind::gate::<Hmac>()).len(), 1, "{settings}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "planted"})).unwrap();
        assert!(!format!("{gate:?}").contains("planted"));
    }
}
