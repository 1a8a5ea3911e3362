//! Lets `{$VAR}` stand in every leaf that is no plain text already.

use schemars::Schema;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

/// What tells about a leaf and stays outside of the choice.
const OUTSIDE: [&str; 6] = ["title", "description", "default", "examples", "deprecated", "writeOnly"];

/// `{$NAME}` or `{$NAME:default}`, anywhere in a text.
const VARIABLE: &str = "\\{\\$[A-Za-z0-9_]+(:[^}]*)?\\}";

/// What an editor says about a text that is neither.
const NEITHER: &str =
    "expected the kind of value that the description names, or a variable: {$NAME} or {$NAME:default}";

/// Gives every leaf that is no plain text the alternative of a variable.
#[derive(Clone)]
pub(super) struct OrVariable;

impl Transform for OrVariable {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(members) = schema.as_object_mut() {
            tidy(members);
        }
        match schema.as_object_mut() {
            Some(members) if is_leaf(members) => offer(members),
            Some(_) => transform_subschemas(self, schema),
            None => {}
        }
    }
}

/// Leaves out how Rust keeps a number, and the line breaks inside of paragraphs.
fn tidy(schema: &mut Map<String, Value>) {
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| {
        ["uint", "int", "float", "double"].iter().any(|number| format.starts_with(number))
    }) {
        schema.shift_remove("format");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> =
            text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
}

/// Tells whether a schema asks for a number, a boolean, or a text out of some.
fn is_leaf(schema: &Map<String, Value>) -> bool {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    let has = |wanted: &[&str]| types.iter().any(|one| wanted.contains(one));
    let narrows = ["enum", "const", "pattern", "format"].iter().any(|key| schema.contains_key(*key));
    let are_choices = |choices: &Value| {
        choices
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one.get("const").is_some() || one.get("enum").is_some()))
    };
    let is_choice = schema.get("oneOf").is_some_and(are_choices);
    !has(&["object", "array"]) && (has(&["number", "integer", "boolean"]) || narrows || is_choice)
}

fn offer(schema: &mut Map<String, Value>) {
    let inside: Map<String, Value> = std::mem::take(schema)
        .into_iter()
        .filter_map(|(key, value)| {
            if OUTSIDE.contains(&key.as_str()) {
                schema.insert(key, value);
                None
            } else {
                Some((key, value))
            }
        })
        .collect();
    schema.insert("anyOf".to_owned(), json!([inside, placeholder()]));
}

/// The alternative itself.
pub(super) fn placeholder() -> Value {
    json!({ "type": "string", "pattern": VARIABLE, "patternErrorMessage": NEITHER })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(schema: Value) -> Value {
        let mut schema = Schema::try_from(schema).unwrap();
        OrVariable.transform(&mut schema);
        schema.to_value()
    }

    #[test]
    fn a_number_may_be_a_variable_and_keeps_its_description() {
        let number = json!({ "description": "d", "type": "integer", "minimum": 1, "default": 3 });
        let wanted = json!({
            "description": "d", "default": 3,
            "anyOf": [{ "type": "integer", "minimum": 1 }, placeholder()],
        });
        assert_eq!(
            transformed(json!({ "properties": { "a": number } })),
            json!({ "properties": { "a": wanted } })
        );
    }

    #[test]
    fn a_choice_may_be_a_variable_as_a_whole() {
        let choice = json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] });
        assert_eq!(transformed(choice.clone()), json!({ "anyOf": [choice, placeholder()] }));
    }

    #[test]
    fn plain_text_takes_variables_as_it_is() {
        assert_eq!(transformed(json!({ "type": "string" })), json!({ "type": "string" }));
    }
}
