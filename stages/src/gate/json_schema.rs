//! The gate that wants the body to match a JSON Schema.

use std::sync::Arc;

use bytes::Bytes;
use engine::ack::Answer;
use engine::config::{Faults, Node, Pointer, is_open};
use engine::kind::Gate;
use engine::webhook::Webhook;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ReferencingError, ValidationError, Validator};
use schemars::{Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

/// The largest program that a regular expression of a schema may become, in bytes.
const LARGEST_REGEX: usize = 1 << 20;

/// Bodies up to this size are judged at once; larger ones go to a thread that may be held up. In bytes.
const SMALL: usize = 64 * 1024;

/// Larger bodies are counted in units of as many bytes.
const UNIT: usize = 1024;

/// How many units of larger bodies are judged at a time. A body that is read into values takes up to thirty times its
/// size.
const UNITS: u32 = 8 * 1024;

/// The room for larger bodies, of all gates together. Whoever finds none waits.
static ROOM: Semaphore = Semaphore::const_new(UNITS as usize);

/// What is wrong with a `$schema`.
const UNKNOWN_DRAFT: &str = "`$schema` names no draft of JSON Schema that is known here";

/// Take only webhooks whose body is JSON that matches a schema.
///
/// Others are answered 422, with the keyword that failed first and the place in the body, and what is no JSON 400. The body
/// is read and kept as it is.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonSchema {
    /// The schema. Its `$schema` says which draft it is of: 4, 6, 7, 2019-09 or 2020-12, the default. A `$ref` leads to
    /// a place within it; nothing is fetched. `format` is not checked. Regular expressions cannot look around or refer
    /// back.
    json_schema: Compiled,
}

/// A schema that was compiled, or what is wrong with it.
#[derive(Debug, Deserialize)]
#[serde(from = "Map<String, Value>")]
struct Compiled(Result<Arc<Validator>, Vec<(Pointer, String)>>);

impl schemars::JsonSchema for Compiled {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonSchema".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

impl From<Map<String, Value>> for Compiled {
    fn from(schema: Map<String, Value>) -> Self {
        if schema.is_empty() {
            return Self(Err(vec![(Pointer::root(), "an empty schema lets everything pass".to_owned())]));
        }
        let schema = Value::Object(schema);
        let wrong = against_its_draft(&schema);
        if !wrong.is_empty() {
            return Self(Err(wrong));
        }
        let patterns = PatternOptions::regex().size_limit(LARGEST_REGEX).dfa_size_limit(LARGEST_REGEX);
        let options = jsonschema::options().with_pattern_options(patterns).should_validate_formats(false);
        match options.build(&schema) {
            Ok(validator) => Self(Ok(Arc::new(validator))),
            // What a variable will hold may be what is missing.
            Err(_) if holds_variable(&schema) => Self(Err(Vec::new())),
            Err(error) => Self(Err(vec![complaint(&error, &schema)])),
        }
    }
}

/// Returns everything that the draft of `schema` does not allow.
fn against_its_draft(schema: &Value) -> Vec<(Pointer, String)> {
    match jsonschema::meta::validator_for(schema) {
        Ok(draft) => draft.iter_errors(schema).map(|error| complaint(&error, schema)).collect(),
        Err(_) => vec![(Pointer::root().child("$schema"), UNKNOWN_DRAFT.to_owned())],
    }
}

/// Returns where a schema is wrong, and how.
fn complaint(error: &ValidationError<'_>, schema: &Value) -> (Pointer, String) {
    let at = place(error.instance_path().as_str());
    match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => {
            let problem = "this is no regular expression, or it is too large, looks around or refers back";
            (at, problem.to_owned())
        }
        ValidationErrorKind::Referencing(ReferencingError::UnknownSpecification { .. }) => {
            (at, UNKNOWN_DRAFT.to_owned())
        }
        ValidationErrorKind::Referencing(missing) => {
            let at = reference(schema, &Pointer::root(), missing).unwrap_or(at);
            (at, "this leads to no place within the schema, and nothing is fetched".to_owned())
        }
        _ => (at, format!("this is no JSON Schema: {}", error.masked())),
    }
}

/// Reads a place as RFC 6901 writes it.
fn place(pointer: &str) -> Pointer {
    let tokens = pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
    tokens.fold(Pointer::root(), |place, token| place.child(&token))
}

/// Finds the reference that leads nowhere.
fn reference(schema: &Value, at: &Pointer, missing: &ReferencingError) -> Option<Pointer> {
    let is_it = |text: &str| match missing {
        ReferencingError::Unretrievable { uri, .. } => {
            text.split('#').next().is_some_and(|resource| !resource.is_empty() && uri.ends_with(resource))
        }
        ReferencingError::PointerToNowhere { pointer } => text.ends_with(pointer.as_str()),
        ReferencingError::NoSuchAnchor { anchor } => text.ends_with(anchor.as_str()),
        _ => true,
    };
    match schema {
        Value::Object(members) => members.iter().find_map(|(key, member)| {
            let at = at.child(key);
            match member {
                Value::String(text) if key.ends_with("ef") && key.starts_with('$') && is_it(text) => Some(at),
                _ => reference(member, &at, missing),
            }
        }),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| reference(item, &at.index(index), missing))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Tells whether a variable was left open anywhere in `value`.
fn holds_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => is_open(text),
        Value::Array(items) => items.iter().any(holds_variable),
        Value::Object(members) => members.values().any(holds_variable),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Judges a body.
#[expect(
    clippy::disallowed_methods,
    reason = "this gate is asked to look inside; it keeps nothing of what it sees"
)]
fn judge(validator: &Validator, body: &[u8]) -> Result<(), Answer> {
    let malformed = |_| Answer::new(400, "Malformed JSON payload");
    let value: Value = serde_json::from_slice(body).map_err(malformed)?;
    validator.validate(&value).map_err(|error| {
        let keyword = error.kind().keyword();
        // The place holds keys of the body: the sender knows them, the log must not. And the other way round.
        Answer::new(422, "the body does not match the schema")
            .about(&format!("`{keyword}` fails at {}", place(error.instance_path().as_str())))
            .because(&format!("the body does not match {} of the schema", error.schema_path()))
    })
}

impl Gate for JsonSchema {
    const NAME: &'static str = "json_schema";
    const PROVES_SENDER: bool = false;

    fn check(&self, at: &Node, faults: &mut Faults) {
        for (place, problem) in self.json_schema.0.as_ref().err().into_iter().flatten() {
            faults.add(&at.at().child("json_schema").join(place), problem.clone(), None);
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        // The check refuses a schema that is wrong, so that it judges nothing.
        let refused = || Answer::new(503, "the webhook cannot be judged now");
        let Ok(validator) = &self.json_schema.0 else { return Err(refused()) };
        let body = &webhook.body;
        if body.len() <= SMALL {
            return judge(validator, body);
        }
        let units = u32::try_from(body.len().div_ceil(UNIT)).unwrap_or(u32::MAX).min(UNITS);
        let room = ROOM.acquire_many(units).await.map_err(|_| refused())?;
        let (validator, body): (Arc<Validator>, Bytes) = (Arc::clone(validator), body.clone());
        let judging = tokio::task::spawn_blocking(move || {
            let _room = room;
            judge(&validator, &body)
        });
        judging.await.unwrap_or_else(|_| Err(refused()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{faults, parse, webhook};
    use engine::kind::Kind;
    use serde_json::json;

    fn gate(schema: Value) -> JsonSchema {
        parse(json!({ "json_schema": schema }))
    }

    /// Returns the status, what the sender is told beside the text, and what the log is told.
    async fn told(gate: &JsonSchema, body: &[u8]) -> Option<(u16, String, String)> {
        let answer = gate.admit(&webhook(&[], body)).await.err()?;
        let text =
            |reason: Option<engine::ack::Reason>| reason.map(|reason| reason.to_string()).unwrap_or_default();
        Some((answer.status, text(answer.about.map(|about| *about)), text(answer.reason)))
    }

    fn order() -> JsonSchema {
        gate(json!({
            "type": "object", "required": ["id"],
            "properties": { "id": { "type": "string", "minLength": 3 }, "amount": { "minimum": 0 } },
            "patternProperties": { "^note": { "type": "string" } },
        }))
    }

    #[tokio::test]
    async fn a_body_that_matches_passes() {
        assert_eq!(told(&order(), br#"{"id": "abc", "amount": 1.5, "other": null}"#).await, None);
    }

    #[tokio::test]
    async fn the_sender_is_told_the_place_and_the_log_the_rule_and_nobody_the_value() {
        let rule = |path: &str| format!("the body does not match {path} of the schema");
        for (body, about, path) in [
            (r#"{"id": "s3"}"#, "`minLength` fails at /id", "/properties/id/minLength"),
            (r#"{"id": "abc", "amount": -3}"#, "`minimum` fails at /amount", "/properties/amount/minimum"),
            (r#"{"amount": 3}"#, "`required` fails at /", "/required"),
            ("[]", "`type` fails at /", "/type"),
            (r#"{"id": "abc", "note/s3": 3}"#, "`type` fails at /note~1s3", "/patternProperties/^note/type"),
        ] {
            assert_eq!(
                told(&order(), body.as_bytes()).await,
                Some((422, about.to_owned(), rule(path))),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_json_is_malformed() {
        for body in [&b""[..], b"{", b"{} {}", b"\"\xff\""] {
            assert_eq!(told(&order(), body).await.unwrap().0, 400);
        }
    }

    #[tokio::test]
    async fn the_schema_says_which_draft_it_is_of() {
        let four = json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": true});
        let seven = json!({"$schema": "http://json-schema.org/draft-07/schema#", "exclusiveMinimum": 3});
        for schema in [four.clone(), seven] {
            assert!(told(&gate(schema.clone()), b"4").await.is_none(), "{schema}");
            assert!(told(&gate(schema.clone()), b"3").await.is_some(), "{schema}");
        }
        let newest = json!({"minimum": 3, "exclusiveMinimum": true});
        let kind = Kind::gate::<JsonSchema>();
        assert_eq!(faults(&json!({ "json_schema": newest }), kind).len(), 1);
        assert!(
            told(&gate(json!({"format": "email"})), b"\"nobody\"").await.is_none(),
            "formats are not checked"
        );
    }

    #[tokio::test]
    async fn references_lead_to_places_within_the_schema_and_may_go_in_circles() {
        let tree = gate(json!({
            "$ref": "#/$defs/node",
            "$defs": { "node": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
        }));
        let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(told(&tree, deep("").as_bytes()).await, None);
        assert_eq!(told(&tree, deep("1").as_bytes()).await.unwrap().0, 422);
        assert_eq!(told(&gate(json!({"allOf": [{"$ref": "#"}]})), b"1").await, None);
    }

    #[tokio::test]
    async fn a_regular_expression_takes_time_that_grows_with_the_text_only() {
        let evil = gate(json!({"pattern": "^(a+)+$"}));
        let body = format!("\"{}!\"", "a".repeat(50_000));
        assert_eq!(told(&evil, body.as_bytes()).await.unwrap().0, 422);
    }

    #[tokio::test]
    async fn a_large_body_is_judged_elsewhere_and_the_same() {
        let strings = gate(json!({"items": {"type": "string"}}));
        let list = |last: &str| format!("[{}{last}]", "\"abcdefgh\",".repeat(100_000));
        assert_eq!(told(&strings, list("\"\"").as_bytes()).await, None);
        let (status, about, _) = told(&strings, list("1").as_bytes()).await.unwrap();
        assert_eq!((status, about.as_str()), (422, "`type` fails at /100000"));
        assert_eq!(ROOM.available_permits(), UNITS as usize);
    }

    #[test]
    fn a_schema_that_cannot_work_is_refused_with_its_place() {
        let places = |schema: Value| {
            let told = faults(&json!({ "json_schema": schema }), Kind::gate::<JsonSchema>());
            told.iter().map(|fault| fault.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for (schema, place) in [
            (json!({}), "/json_schema"),
            (json!(true), "/json_schema"),
            (json!({"type": "objet"}), "/json_schema/type"),
            (json!({"properties": {"a/b": {"minLength": -1}}}), "/json_schema/properties/a~1b/minLength"),
            (json!({"$schema": "https://example.com/own"}), "/json_schema/$schema"),
            (json!({"items": {"$ref": "https://example.com/x.json#/a"}}), "/json_schema/items/$ref"),
            (json!({"items": {"$ref": "other.json"}}), "/json_schema/items/$ref"),
            (json!({"items": {"$ref": "file:///etc/passwd"}}), "/json_schema/items/$ref"),
            (json!({"$id": "https://e.com/a", "allOf": [{"$ref": "b.json"}]}), "/json_schema/allOf/0/$ref"),
            (json!({"items": {"$ref": "#/$defs/no"}}), "/json_schema/items/$ref"),
            (json!({"items": {"$ref": "#no"}}), "/json_schema/items/$ref"),
            (json!({"items": {"pattern": "("}}), "/json_schema/items/pattern"),
            (json!({"items": {"pattern": "^(?=x)"}}), "/json_schema/items/pattern"),
            (json!({"items": {"pattern": "(a{1000}){1000}"}}), "/json_schema/items/pattern"),
        ] {
            assert_eq!(places(schema.clone()), [place], "{schema}");
        }
        let two = json!({"properties": {"a": {"minLength": -1}, "b": {"type": 5}}});
        assert_eq!(places(two).len(), 2);
        assert_eq!(places(json!({"const": {"$ref": "https://example.com/x.json"}})), [""; 0]);
    }
}
