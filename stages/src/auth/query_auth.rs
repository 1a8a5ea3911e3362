//! The gate that asks for an API key in the query of the address.

use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
use engine::kind::Gate;
use engine::query;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api_keys::ApiKeys;
use super::unauthorized;

/// Ask for an API key in the query of the address the sender posts to: `?api_key=...`.
///
/// Proxies write addresses into their logs: where the sender can set a header, `header_auth` is safer. Of a parameter that
/// stands there several times the last one counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryAuth {
    /// The parameter that holds the key, in exactly this case.
    #[serde(default)]
    parameter_name: ParameterName,
    /// The key.
    #[serde(default)]
    api_key: Option<Secret>,
    /// More keys, each of which will do: the old and the new one while they are exchanged.
    #[serde(default)]
    api_keys: Vec<Secret>,
    /// Whether letters in another case are other letters. With false a key is easier to guess, and control characters in
    /// what is sent are passed over.
    #[serde(default = "QueryAuth::default_case_sensitive")]
    case_sensitive: bool,
}

/// A name that needs no escapes: 1 to 100 letters, digits, `_`, `-` and `.`.
#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
struct ParameterName(String);

impl ParameterName {
    const LONGEST: usize = 100;
}

impl Default for ParameterName {
    fn default() -> Self {
        Self("api_key".to_owned())
    }
}

impl TryFrom<String> for ParameterName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if (1..=Self::LONGEST).contains(&name.len()) && name.bytes().all(is_plain) {
            Ok(Self(name))
        } else {
            Err("the name of a parameter has 1 to 100 letters, digits, `_`, `-` and `.`")
        }
    }
}

impl QueryAuth {
    fn default_case_sensitive() -> bool {
        true
    }

    fn keys(&self) -> ApiKeys<'_> {
        ApiKeys { one: self.api_key.as_ref(), more: &self.api_keys, case_sensitive: self.case_sensitive }
    }

    /// Returns what the sender presented.
    fn presented(&self, webhook: &Webhook) -> Option<Secret> {
        let (_, query) = webhook.head.target.split_once('?')?;
        let (_, value) = query::pairs(query).filter(|(name, _)| *name == self.parameter_name.0).last()?;
        let value = Secret::new(value);
        if self.case_sensitive {
            return Some(value);
        }
        Some(Secret::new(value.expose().replace(char::is_control, "")))
    }
}

impl Gate for QueryAuth {
    const NAME: &'static str = "query_auth";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        self.keys().check(at, faults);
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let sent = self.presented(webhook);
        let sent = sent.ok_or_else(|| unauthorized("the query parameter with the API key is missing"))?;
        if self.keys().hold(&sent) {
            Ok(())
        } else {
            Err(unauthorized("the API key in the query does not match"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, agrees_but_for, faults, parse};
    use engine::kind::Kind;
    use serde_json::{Value, json};

    async fn admits(settings: Value, target: &str) -> bool {
        let webhook = Request { target, ..Request::default() }.webhook();
        parse::<QueryAuth>(settings).admit(&webhook).await.is_ok()
    }

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_but_for::<QueryAuth>(&json!({ "case_sensitive": false }), &[]).await;
    }

    #[tokio::test]
    async fn the_key_passes_in_its_parameter_alone() {
        let settings = || json!({ "api_key": "A b/C", "parameter_name": "k" });
        for query in ["k=A+b/C", "x=1&k=A%20b%2fC", "%6b=A+b/C&"] {
            assert!(admits(settings(), &format!("/webhook/w?{query}")).await, "{query}");
        }
        for query in
            ["k=A+b/c", "K=A+b/C", "k=", "k", "api_key=A+b/C", "", "k=A+b/C+", "k=A%0A+b/C", "x=k=A+b/C"]
        {
            assert!(!admits(settings(), &format!("/webhook/w?{query}")).await, "{query}");
        }
        assert!(!admits(settings(), "/webhook/w").await);
        assert!(!admits(settings(), "/webhook/k=A+b/C").await);
        assert!(admits(json!({ "api_key": "AbC" }), "/webhook/w?api_key=AbC").await);
    }

    #[tokio::test]
    async fn the_case_counts_and_so_do_control_characters_unless_told_otherwise() {
        let settings = |sensitive: bool| json!({ "api_key": "AbC", "case_sensitive": sensitive });
        for query in ["api_key=aBc", "api_key=A%0Ab%00C"] {
            assert!(admits(settings(false), &format!("/?{query}")).await, "{query}");
            assert!(!admits(settings(true), &format!("/?{query}")).await, "{query}");
        }
    }

    #[tokio::test]
    async fn every_key_of_the_list_passes_beside_the_single_one() {
        let settings = || json!({ "api_key": "one", "api_keys": ["two", "three"] });
        for key in ["one", "two", "three"] {
            assert!(admits(settings(), &format!("/?api_key={key}")).await, "{key}");
        }
        assert!(!admits(settings(), "/?api_key=four").await);
    }

    #[tokio::test]
    async fn the_last_of_repeated_parameters_counts() {
        let settings = || json!({ "api_key": "k" });
        assert!(admits(settings(), "/?api_key=no&api_key=k").await);
        assert!(!admits(settings(), "/?api_key=k&api_key=no").await);
    }

    #[tokio::test]
    async fn a_refusal_tells_the_sender_nothing() {
        let gate: QueryAuth = parse(json!({ "api_key": "k" }));
        let refusal =
            async |target| gate.admit(&Request { target, ..Request::default() }.webhook()).await.unwrap_err();
        let (absent, wrong) = (refusal("/").await, refusal("/?api_key=no").await);
        assert_eq!((absent.status, absent.detail), (401, "Unauthorized"));
        assert_eq!((wrong.status, wrong.detail), (absent.status, absent.detail));
    }

    #[test]
    fn settings_that_protect_nothing_are_refused() {
        for settings in [
            json!({}),
            json!({ "api_keys": [] }),
            json!({ "api_key": "" }),
            json!({ "api_keys": ["k", " "] }),
            json!({ "api_key": "a\u{7f}b" }),
            json!({ "api_key": ["k"] }),
            json!({ "api_key": "k", "parameter_name": "" }),
            json!({ "api_key": "k", "parameter_name": "a b" }),
            json!({ "api_key": "k", "parameter_name": "k".repeat(101) }),
            json!({ "api_key": "k", "parameter": "k" }),
        ] {
            assert_eq!(faults(&settings, Kind::gate::<QueryAuth>()).len(), 1, "{settings}");
        }
    }

    #[test]
    fn the_keys_are_not_printed() {
        let gate: QueryAuth = parse(json!({ "api_key": "planted", "api_keys": ["planted"] }));
        assert!(!format!("{gate:?}").contains("planted"));
    }
}
