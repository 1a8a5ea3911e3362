//! Secrets in settings, found by the schema of the stage: shown as `***`.

use engine::config::{HIDDEN, is_open};
use engine::kind::Kind;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

/// Returns the settings of a stage with `***` for every secret that stands in them as text.
#[must_use]
pub(crate) fn hide(settings: &Value, kind: &Kind) -> Value {
    let mut generator = SchemaGenerator::default();
    let schema = (kind.schema)(&mut generator).to_value();
    let walk = Walk { definitions: generator.definitions() };
    walk.hide(settings, &schema)
}

struct Walk<'a> {
    definitions: &'a Map<String, Value>,
}

impl Walk<'_> {
    fn hide(&self, value: &Value, schema: &Value) -> Value {
        let schema = self.followed(schema);
        if schema["writeOnly"] == Value::Bool(true) {
            return hidden(value);
        }
        let choices =
            ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
        let value = choices.fold(value.clone(), |value, choice| self.hide(&value, choice));
        match value {
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(key, member)| (key.clone(), self.member(&key, member, schema)))
                    .collect(),
            ),
            Value::Array(items) => items.iter().map(|item| self.hide(item, &schema["items"])).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }

    fn member(&self, key: &str, member: Value, schema: &Value) -> Value {
        let own = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
        own.map_or_else(|| member.clone(), |own| self.hide(&member, own))
    }

    /// Follows a reference to its definition.
    fn followed<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let named = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
        named.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() || is_open(text) => value.clone(),
        Value::Null => Value::Null,
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Value::String(HIDDEN.to_owned())
        }
    }
}
