//! The gate that takes credentials out of what passed, before it is stored.
//!
//! It lets everything pass, and acts once every gate has judged the webhook as it was sent. A value goes by the name it
//! has: of a header, of a parameter of the query, of a member of a JSON body at any depth.

mod json;
mod names;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use engine::ack::Answer;
use engine::config::{Faults, Node};
use engine::headers::Headers;
use engine::kind::Gate;
use engine::meter::{Counter, Edge, Metric};
use engine::query;
use engine::webhook::{Head, Webhook};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use self::names::Names;

/// What stands in place of a value.
const MASK: &str = "***REDACTED***";

/// How many bytes masks may make a body longer, and a query, in bytes.
const LONGER: usize = 64 * 1024;

/// The most names there may be in a list.
const MOST: usize = 1_000;

/// The gate, ready to act.
#[derive(Debug, Deserialize)]
#[serde(from = "Settings")]
pub(crate) struct CredentialCleanup {
    settings: Settings,
    names: Names,
    /// How many values went.
    cleaned: OnceLock<Counter>,
}

/// Mask or remove what looks like a credential in headers, query and JSON body before a webhook is stored.
///
/// What is judged is the webhook as it was sent; what is stored and delivered is what is left. Everything else stays byte for byte.
/// A signature over the body, or over a header that went, cannot be verified any more behind it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Whether anything is done.
    #[serde(default = "Settings::default_enabled")]
    enabled: bool,
    /// What becomes of a value.
    #[serde(default)]
    mode: Mode,
    /// Names that are those of credentials too, beside those that are known, in any case.
    #[serde(default)]
    fields: Vec<String>,
    /// Names that are none, though they look so, in any case: `author` contains `auth`.
    #[serde(default)]
    keep: Vec<String>,
    /// Whether JSON bodies are looked into.
    #[serde(default = "Settings::default_enabled")]
    json: bool,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(inline, !try_from)]
enum Mode {
    /// `***REDACTED***` stands in its place. A body that would become more than 65,536 bytes longer loses the rest of them.
    #[default]
    Mask,
    /// It goes, together with its name.
    Remove,
}

impl TryFrom<String> for Mode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.to_ascii_lowercase().as_str() {
            "mask" => Ok(Self::Mask),
            "remove" => Ok(Self::Remove),
            _ => Err("expected `mask` or `remove`"),
        }
    }
}

impl JsonSchema for CredentialCleanup {
    fn schema_name() -> Cow<'static, str> {
        Settings::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Settings::json_schema(generator)
    }
}

impl Settings {
    fn default_enabled() -> bool {
        true
    }
}

impl From<Settings> for CredentialCleanup {
    fn from(settings: Settings) -> Self {
        let names = Names::new(&settings.fields, &settings.keep);
        Self { settings, names, cleaned: OnceLock::new() }
    }
}

impl Gate for CredentialCleanup {
    const NAME: &'static str = "credential_cleanup";
    const PROVES_SENDER: bool = false;

    fn check(&self, at: &Node, faults: &mut Faults) {
        for (key, names) in [("fields", &self.settings.fields), ("keep", &self.settings.keep)] {
            if names.len() > MOST {
                faults.add(&at.at().child(key), format!("expected at most {MOST} names"), None);
            }
        }
    }

    fn measure(&self, edge: &Edge) {
        self.cleaned.get_or_init(|| edge.counter(Metric::Cleaned, Self::NAME));
    }

    async fn admit(&self, _: &Webhook) -> Result<(), Answer> {
        Ok(())
    }

    fn rewrite(&self, webhook: &mut Webhook) {
        if !self.settings.enabled {
            return;
        }
        let (mut count, length) = (self.clean_body(webhook), webhook.body.len());
        count += self.clean_target(webhook);
        let of_headers = self.count_headers(&webhook.head);
        if count + of_headers > 0 {
            let headers = self.headers(&webhook.head, length);
            Arc::make_mut(&mut webhook.head).headers = headers;
        }
        if let Some(counter) = self.cleaned.get() {
            counter.add(count + of_headers);
        }
    }
}

impl CredentialCleanup {
    fn clean_body(&self, webhook: &mut Webhook) -> u64 {
        let mut room = LONGER;
        let cleaned = self
            .settings
            .json
            .then(|| json::clean(&webhook.body, &self.names, self.settings.mode, &mut room));
        let Some((body, count)) = cleaned.flatten() else { return 0 };
        webhook.body = body.into();
        count
    }

    fn clean_target(&self, webhook: &mut Webhook) -> u64 {
        let Some((path, text)) = webhook.head.target.split_once('?') else { return 0 };
        let (mut left, mut count, mut room) = (Vec::new(), 0, LONGER);
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let goes = !value.is_empty() && query::pairs(pair).any(|(name, _)| self.names.contain(&name));
            let longer = MASK.len().saturating_sub(value.len());
            if !goes {
                left.push(pair.to_owned());
            } else if self.settings.mode == Mode::Mask && longer <= room {
                room -= longer;
                left.push(format!("{name}={MASK}"));
            }
            count += u64::from(goes);
        }
        if count > 0 {
            let target = if left.is_empty() { path.to_owned() } else { format!("{path}?{}", left.join("&")) };
            Arc::make_mut(&mut webhook.head).target = ByteString::from(target);
        }
        count
    }

    fn count_headers(&self, head: &Head) -> u64 {
        let count = head.headers.iter().filter(|(name, _)| self.names.contain(name)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Returns what is left of the headers. The length they tell is that of the body that is left.
    fn headers(&self, head: &Head, length: usize) -> Headers {
        let length = length.to_string();
        let left = head.headers.iter().filter_map(|(name, value)| match self.settings.mode {
            _ if name.eq_ignore_ascii_case("content-length") => Some((name, length.as_bytes())),
            _ if !self.names.contain(name) => Some((name, value)),
            Mode::Mask => Some((name, MASK.as_bytes())),
            Mode::Remove => None,
        });
        left.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, faults, parse};
    use engine::kind::Kind;
    use engine::meter::Meter;
    use serde_json::{Map, Value, json};

    fn clean(gate: &CredentialCleanup, request: &Request<'_>) -> Webhook {
        let mut webhook = request.webhook();
        gate.rewrite(&mut webhook);
        webhook
    }

    fn headers(webhook: &Webhook) -> Map<String, Value> {
        let text = |value: &[u8]| json!(String::from_utf8_lossy(value));
        webhook.head.headers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    #[test]
    fn the_reference_cleaned_the_same() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/credential_cleanup_vectors.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let gate: CredentialCleanup =
                parse(json!({ "mode": vector["mode"], "fields": ["idempotency-key"] }));
            if let Some(sent) = vector["headers"].as_object() {
                let sent: Vec<(&str, &[u8])> = sent
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap().as_bytes()))
                    .collect();
                let webhook = clean(&gate, &Request { headers: &sent, ..Request::default() });
                assert_eq!(Value::Object(headers(&webhook)), vector["out"]);
            } else {
                let body = vector["in"].to_string();
                let webhook = clean(&gate, &Request { body: body.as_bytes(), ..Request::default() });
                assert_eq!(webhook.body, vector["out"].to_string(), "with the order of its members");
            }
        }
    }

    #[test]
    fn the_query_is_cleaned_and_the_rest_of_it_stays() {
        let target = |settings: Value, target: &str| {
            let webhook = clean(&parse(settings), &Request { target, ..Request::default() });
            webhook.head.target.to_string()
        };
        let sent = "/webhook/token?a=%41+b&api%5Fkey=x%26y&&Token=&c&pwd=1";
        let masked = "/webhook/token?a=%41+b&api%5Fkey=***REDACTED***&&Token=&c&pwd=***REDACTED***";
        assert_eq!(target(json!({}), sent), masked);
        assert_eq!(target(json!({"mode": "Remove"}), sent), "/webhook/token?a=%41+b&&Token=&c");
        assert_eq!(target(json!({"mode": "REMOVE"}), "/webhook/w?key=1"), "/webhook/w");
    }

    #[test]
    fn the_length_is_that_of_the_body_that_is_left_and_everything_that_went_is_counted() {
        let sent: [(&str, &[u8]); 3] =
            [("Content-Length", b"9"), ("X-Api-Key", b"k"), ("x-idempotency-key", b"i")];
        let request =
            Request { headers: &sent, body: b"{\"key\":1}", target: "/w?key=1", ..Request::default() };
        let gate: CredentialCleanup = parse(json!({"mode": "remove"}));
        let meter = Meter::default();
        gate.measure(&Edge::new(&meter, "c.buffer"));
        let webhook = clean(&gate, &request);
        assert_eq!(webhook.body, "{}");
        assert_eq!(
            Value::Object(headers(&webhook)),
            json!({"Content-Length": "2", "x-idempotency-key": "i"})
        );
        assert_eq!(meter.counter(Metric::Cleaned, "c.buffer", "credential_cleanup").get(), 3);
    }

    #[test]
    fn a_webhook_without_credentials_is_the_very_same() {
        let request =
            Request { headers: &[("x-a", b"1")], body: b"{\"a\":1}", target: "/w?a=1", ..Request::default() };
        for settings in [json!({}), json!({"mode": "remove"})] {
            let (before, gate): (_, CredentialCleanup) = (request.webhook(), parse(settings));
            let mut after = before.clone();
            gate.rewrite(&mut after);
            assert!(Arc::ptr_eq(&before.head, &after.head) && before.body.as_ptr() == after.body.as_ptr());
        }
    }

    #[test]
    fn what_is_off_or_kept_stays() {
        let body = |settings: Value| {
            let request = Request { body: b"{\"key\":1,\"author\":2}", ..Request::default() };
            String::from_utf8(clean(&parse(settings), &request).body.to_vec()).unwrap()
        };
        assert_eq!(body(json!({"enabled": false})), r#"{"key":1,"author":2}"#);
        assert_eq!(body(json!({"json": false})), r#"{"key":1,"author":2}"#);
        assert_eq!(body(json!({"mode": "remove", "keep": ["Author"]})), r#"{"author":2}"#);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let told = |settings: Value| faults(&settings, Kind::gate::<CredentialCleanup>());
        let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
        assert_eq!(told(json!({"mode": "hide"})), ["/mode: expected `mask` or `remove`"]);
        assert_eq!(told(json!({"field": ["a"]})).len(), 1);
        assert_eq!(told(json!({ "fields": many })), ["/fields: expected at most 1000 names"]);
    }
}
