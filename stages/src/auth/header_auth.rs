//! The gate that asks for an API key in a header.

use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api_keys::ApiKeys;
use super::scheme::HeaderName;
use super::{last, text, unauthorized};

/// Ask for an API key in a header.
///
/// The whole value is the key. Of a header that is sent several times the last one counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderAuth {
    /// The header that holds the key, in any case.
    #[serde(default = "HeaderAuth::default_header_name")]
    header_name: HeaderName,
    /// The key.
    #[serde(default)]
    api_key: Option<Secret>,
    /// More keys, each of which will do: the old and the new one while they are exchanged.
    #[serde(default)]
    api_keys: Vec<Secret>,
    /// Whether letters in another case are other letters. With false a key is easier to guess.
    #[serde(default = "HeaderAuth::default_case_sensitive")]
    case_sensitive: bool,
}

impl HeaderAuth {
    fn default_header_name() -> HeaderName {
        HeaderName("X-API-Key".to_owned())
    }

    fn default_case_sensitive() -> bool {
        true
    }

    fn keys(&self) -> ApiKeys<'_> {
        ApiKeys { one: self.api_key.as_ref(), more: &self.api_keys, case_sensitive: self.case_sensitive }
    }
}

impl Gate for HeaderAuth {
    const NAME: &'static str = "header_auth";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        self.keys().check(at, faults);
        for (place, key) in self.keys().placed(at.at()) {
            let (key, inner) = (key.expose(), key.expose().trim_matches(' '));
            if !inner.is_empty() && inner.len() < key.len() {
                let problem = "the API key begins or ends with a blank, which a header cannot hold there";
                faults.add(&place, problem, None);
            }
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let sent = last(webhook, &self.header_name.0);
        let sent = sent.ok_or_else(|| unauthorized("the header with the API key is missing"))?;
        if self.keys().hold(&text(sent.to_vec())) {
            Ok(())
        } else {
            Err(unauthorized("the API key in the header does not match"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agrees_but_for, faults, parse, webhook};
    use engine::kind::Kind;
    use serde_json::{Value, json};

    async fn admits(settings: Value, headers: &[(&str, &[u8])]) -> bool {
        parse::<HeaderAuth>(settings).admit(&webhook(headers, b"")).await.is_ok()
    }

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_but_for::<HeaderAuth>(&json!({ "case_sensitive": false }), &[]).await;
    }

    #[tokio::test]
    async fn the_key_passes_in_its_header_alone() {
        let settings = || json!({ "api_key": "AbC", "header_name": "X-Key" });
        assert!(admits(settings(), &[("x-key", b"AbC")]).await);
        for sent in [&b"abc"[..], b"AbC ", b" AbC", b"AbCd", b"Ab", b"", b"Bearer AbC"] {
            assert!(!admits(settings(), &[("X-Key", sent)]).await, "{sent:?}");
        }
        assert!(!admits(settings(), &[("X-API-Key", b"AbC")]).await);
        assert!(admits(json!({ "api_key": "AbC" }), &[("X-API-Key", b"AbC")]).await);
    }

    #[tokio::test]
    async fn the_case_counts_unless_told_otherwise() {
        let settings = json!({ "api_key": "AbC", "case_sensitive": false });
        assert!(admits(settings, &[("X-API-Key", b"aBc")]).await);
    }

    #[tokio::test]
    async fn every_key_of_the_list_passes_beside_the_single_one() {
        let settings = || json!({ "api_key": "one", "api_keys": ["two", "three"] });
        for sent in [&b"one"[..], b"two", b"three"] {
            assert!(admits(settings(), &[("X-API-Key", sent)]).await, "{sent:?}");
        }
        assert!(!admits(settings(), &[("X-API-Key", b"one,two")]).await);
    }

    #[tokio::test]
    async fn the_last_of_repeated_headers_counts() {
        let settings = || json!({ "api_key": "k" });
        assert!(admits(settings(), &[("X-API-Key", b"no"), ("x-api-key", b"k")]).await);
        assert!(!admits(settings(), &[("X-API-Key", b"k"), ("x-api-key", b"no")]).await);
    }

    #[tokio::test]
    async fn a_key_beyond_ascii_passes_in_either_encoding() {
        let settings = || json!({ "api_key": "schlüssel" });
        assert!(admits(settings(), &[("X-API-Key", "schlüssel".as_bytes())]).await);
        assert!(admits(settings(), &[("X-API-Key", b"schl\xfcssel")]).await);
    }

    #[tokio::test]
    async fn a_refusal_tells_the_sender_nothing() {
        let gate: HeaderAuth = parse(json!({ "api_key": "k" }));
        let absent = gate.admit(&webhook(&[], b"")).await.unwrap_err();
        let wrong = gate.admit(&webhook(&[("X-API-Key", b"no")], b"")).await.unwrap_err();
        assert_eq!((absent.status, absent.detail), (401, "Unauthorized"));
        assert_eq!((wrong.status, wrong.detail), (absent.status, absent.detail));
    }

    #[test]
    fn settings_that_protect_nothing_are_refused() {
        for settings in [
            json!({}),
            json!({ "api_keys": [] }),
            json!({ "api_key": "" }),
            json!({ "api_key": " " }),
            json!({ "api_key": "k", "api_keys": [""] }),
            json!({ "api_key": "a\nb" }),
            json!({ "api_key": "k " }),
            json!({ "api_key": ["k"] }),
            json!({ "api_key": "k", "header_name": "not a name" }),
            json!({ "api_key": "k", "header": "X-Key" }),
        ] {
            assert_eq!(faults(&settings, Kind::gate::<HeaderAuth>()).len(), 1, "{settings}");
        }
    }

    #[test]
    fn a_complaint_names_the_key_by_its_place() {
        let told = faults(&json!({ "api_keys": ["k", "planted\t"] }), Kind::gate::<HeaderAuth>());
        let problem = "/api_keys/1: the API key holds a control character, which a sender cannot send";
        assert_eq!(told, [problem]);
    }

    #[test]
    fn the_keys_are_not_printed() {
        let gate: HeaderAuth = parse(json!({ "api_key": "planted", "api_keys": ["planted"] }));
        assert!(!format!("{gate:?}").contains("planted"));
    }
}
