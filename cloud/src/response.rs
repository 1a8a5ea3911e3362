//! What the sender of an accepted webhook is answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::config::{Faults, Node};
use engine::webhook::Id;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{self, Answer};

/// The largest body, in bytes.
const LARGEST: usize = 64 * 1024;

/// The most headers.
const MOST_HEADERS: usize = 32;

/// The largest headers together, in bytes of names and values.
const LARGEST_HEADERS: usize = 8 * 1024;

/// Headers that the server beneath sets, or that belong to one connection.
const NOT_TO_BE_SET: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-connect-version",
];

/// What an accepted webhook is answered with. It is told once the webhook is committed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Configured {
    /// 200, 201, 202 or 204.
    #[serde(default)]
    #[schemars(range(min = 200, max = 204))]
    status: Option<u16>,
    /// Headers, by name. `Content-Type` may be one of them.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The body, at most 65,536 bytes: a text is sent as it is, as `text/plain`; anything else as JSON. Default: a message with the webhook's id.
    /// There is none with 204.
    #[serde(default)]
    body: Option<Value>,
}

/// The answer to the sender of an accepted webhook.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Configured {
    /// Complains about an answer that cannot be given.
    pub(crate) fn check(&self, at: &Node, faults: &mut Faults) {
        let place = at.at().child("response");
        match self.status {
            None | Some(200..=202) => {}
            Some(204) if self.body.is_none() => {}
            Some(204) => faults.add(&place.child("body"), "an answer with status 204 has no body", None),
            Some(_) => faults.add(&place.child("status"), "expected 200, 201, 202 or 204", None),
        }
        if self.body.as_ref().is_some_and(|body| bytes(body).len() > LARGEST) {
            faults.add(&place.child("body"), format!("the body has more than {LARGEST} bytes"), None);
        }
        let headers = place.child("headers");
        let size: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.headers.len() > MOST_HEADERS || size > LARGEST_HEADERS {
            let problem =
                format!("expected at most {MOST_HEADERS} headers and {LARGEST_HEADERS} bytes of them");
            faults.add(&headers, problem, None);
        }
        for (name, value) in &self.headers {
            let problem = match HeaderName::try_from(name) {
                Err(_) => "a header cannot have this name",
                Ok(name) if NOT_TO_BE_SET.contains(&name.as_str()) => "the receiver sets this header itself",
                Ok(_) if HeaderValue::from_str(value).is_err() => "a header cannot have this value",
                Ok(_) => continue,
            };
            faults.add(&headers.child(name), problem, None);
        }
    }

    /// Makes the answer.
    pub(crate) fn made(self) -> Response {
        let status =
            self.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        let mut headers = HeaderMap::new();
        if self.body.as_ref().is_some_and(Value::is_string) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        Response { status, headers, body: self.body.as_ref().map(bytes) }
    }
}

/// Returns a body as it is sent.
fn bytes(body: &Value) -> Bytes {
    match body {
        Value::String(text) => text.clone().into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            body.to_string().into()
        }
    }
}

impl Response {
    /// Makes the answer to the sender of the webhook with this id.
    pub(crate) fn to(&self, id: Id) -> Answer {
        let mut answer = match (&self.body, self.status) {
            (_, StatusCode::NO_CONTENT) => answer::empty(StatusCode::NO_CONTENT),
            (Some(body), status) => answer::json_text(status, body.clone()),
            (None, status) => {
                let reason = status.canonical_reason().unwrap_or_default();
                let code = status.as_u16();
                answer::json_text(
                    status,
                    format!("{{\"message\":\"{code} {reason}\",\"message_id\":\"{id}\"}}"),
                )
            }
        };
        for (name, value) in &self.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::config::Pointer;
    use http_body_util::BodyExt;
    use serde_json::json;

    fn configured(settings: &Value) -> (Configured, Vec<String>) {
        let node = Node::new(json!({ "response": settings }), Pointer::root());
        let mut faults = Faults::default();
        let configured: Configured = node.get("response").unwrap().parse(&mut faults).unwrap();
        configured.check(&node, &mut faults);
        let told = faults.iter().map(|fault| fault.at.to_string()).collect();
        (configured, told)
    }

    async fn answer(settings: Value) -> (u16, Option<String>, String) {
        let (configured, faults) = configured(&settings);
        assert!(faults.is_empty(), "{faults:?}");
        let answer = configured.made().to(Id([7; 16]));
        let kind = answer.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_text_is_sent_as_it_is_and_anything_else_as_json() {
        let text = |kind: &str| Some(kind.to_owned());
        let told = |status, kind, body: &str| (status, text(kind), body.to_owned());
        let plain = "text/plain; charset=utf-8";
        assert_eq!(answer(json!({"body": "ok"})).await, told(200, plain, "ok"));
        assert_eq!(
            answer(json!({"status": 202, "body": {"b": 1, "a": [2]}})).await,
            told(202, "application/json", "{\"b\":1,\"a\":[2]}")
        );
        let xml = json!({"body": "<Response/>", "headers": {"Content-Type": "text/xml"}});
        assert_eq!(answer(xml).await, told(200, "text/xml", "<Response/>"));
        assert_eq!(answer(json!({"status": 204})).await, (204, None, String::new()));
        let message = format!("{{\"message\":\"201 Created\",\"message_id\":\"{}\"}}", Id([7; 16]));
        assert_eq!(answer(json!({"status": 201})).await, told(201, "application/json", &message));
    }

    #[test]
    fn configured_headers_are_sent() {
        let (configured, _) = configured(&json!({"headers": {"X-Seen": "yes", "retry-after": "1"}}));
        let answer = configured.made().to(Id([7; 16]));
        assert_eq!(
            (&answer.headers()["x-seen"], &answer.headers()["retry-after"]),
            (&"yes".parse().unwrap(), &"1".parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_place() {
        let many: BTreeMap<String, String> = (0..33).map(|n| (format!("x-{n}"), String::new())).collect();
        for (settings, place) in [
            (json!({"status": 199}), "/response/status"),
            (json!({"status": 302}), "/response/status"),
            (json!({"status": 204, "body": ""}), "/response/body"),
            (json!({"body": "x".repeat(LARGEST + 1)}), "/response/body"),
            (json!({"headers": {"a b": "x"}}), "/response/headers/a b"),
            (json!({"headers": {"x-a": "b\r\nset-cookie: c"}}), "/response/headers/x-a"),
            (json!({"headers": {"Content-Length": "5"}}), "/response/headers/Content-Length"),
            (json!({"headers": {"Transfer-Encoding": "chunked"}}), "/response/headers/Transfer-Encoding"),
            (json!({ "headers": many }), "/response/headers"),
        ] {
            assert_eq!(configured(&settings).1, [place], "{settings}");
        }
    }
}
