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
            Value::String(text) if schema["format"] == "uri" => Value::String(hidden_in_url(&text)),
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

/// Parts of the names of query parameters whose values are secret.
const SECRET_NAMES: [&str; 9] =
    ["key", "token", "secret", "sig", "pass", "auth", "code", "credential", "session"];

/// Returns a URL with `***` for the secrets that its query holds, known by their names.
fn hidden_in_url(url: &str) -> String {
    let Some((base, query)) = url.split_once('?').filter(|_| !is_open(url)) else { return url.to_owned() };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() && is_secret(name) => format!("{name}={HIDDEN}"),
        Some(_) | None => pair.to_owned(),
    };
    let (query, fragment) = query.split_once('#').map_or((query, None), |(query, rest)| (query, Some(rest)));
    let query = query.split('&').map(hide).collect::<Vec<_>>().join("&");
    fragment.map_or_else(|| format!("{base}?{query}"), |fragment| format!("{base}?{query}#{fragment}"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_query_of_a_url_are_hidden_by_their_names() {
        for (url, shown) in [
            ("http://a/b", "http://a/b"),
            ("http://a/b?from=relay&apiKey=x&b", "http://a/b?from=relay&apiKey=***&b"),
            ("https://a/?access_token=x=y#there", "https://a/?access_token=***#there"),
            ("https://a/?token=", "https://a/?token="),
        ] {
            assert_eq!(hidden_in_url(url), shown);
        }
        let open = engine::config::left_open("http://a/?key={$KEY}");
        assert_eq!(hidden_in_url(&open), open);
    }
}
