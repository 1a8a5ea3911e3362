//! `webhook-connect schema`: prints the JSON Schema of a kind of file.

use std::io::Write;

use schemas::kinds::DocumentKind;
use schemas::publish::schema;

use crate::cli;
use crate::failure::Failure;
use crate::load::all_kinds;

/// Prints a schema.
///
/// # Errors
/// None, so far.
pub(crate) fn run(options: &cli::Schema) -> Result<(), Failure> {
    // A reader that has gone away has seen enough.
    drop(std::io::stdout().write_all(text(options.kind.into()).as_bytes()));
    Ok(())
}

fn text(kind: DocumentKind) -> String {
    format!("{:#}\n", schema(kind, &all_kinds()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_schemas_in_the_tree_are_fresh() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/json");
        let mut stale = Vec::new();
        for kind in DocumentKind::ALL {
            let path = folder.join(format!("{}.schema.json", kind.name()));
            if std::fs::read_to_string(&path).unwrap_or_default() != text(kind) {
                stale.push(format!("webhook-connect schema {} > schemas/json/{0}.schema.json", kind.name()));
            }
        }
        assert!(stale.is_empty(), "write them anew:\n{}", stale.join("\n"));
    }

    /// Follows references and lists of one to where the description is.
    fn is_described(schema: &Value, root: &Value) -> bool {
        let described = |schema: &Value| schema["description"].as_str().is_some_and(|text| !text.is_empty());
        let referred = schema["$ref"].as_str().and_then(|to| root.pointer(to.trim_start_matches('#')));
        described(schema)
            || referred.is_some_and(|to| is_described(to, root))
            || schema["allOf"].as_array().into_iter().flatten().any(|one| is_described(one, root))
    }

    fn undescribed(at: &str, schema: &Value, root: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                let is_condition = at.ends_with("/if");
                for (name, setting) in
                    members.get("properties").and_then(Value::as_object).into_iter().flatten()
                {
                    if !is_condition && !is_described(setting, root) {
                        found.push(format!("{at}/{name}"));
                    }
                }
                for (key, member) in members {
                    undescribed(&format!("{at}/{key}"), member, root, found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    undescribed(&format!("{at}/{index}"), item, root, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_setting_is_described() {
        let mut found = Vec::new();
        for kind in DocumentKind::ALL {
            let root = schema(kind, &all_kinds());
            undescribed(kind.name(), &root, &root, &mut found);
        }
        assert_eq!(found, Vec::<String>::new(), "a description is missing");
    }

    /// Returns what a schema consists of: itself, what it refers to, its choices.
    fn parts<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
        let referred = schema["$ref"].as_str().and_then(|to| root.pointer(to.trim_start_matches('#')));
        let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array());
        let inside = referred.into_iter().chain(lists.flatten()).flat_map(|part| parts(part, root));
        std::iter::once(schema).chain(inside).collect()
    }

    /// Finds the settings that take any key, or any value.
    fn free(schema: &Value, root: &Value, found: &mut Vec<String>) {
        let says = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "pattern"];
        let any_value = |part: &Value| !says.iter().any(|key| part.get(key).is_some());
        let any_key =
            |part: &Value| part.get("additionalProperties").is_some_and(|more| *more != json!(false));
        for part in parts(schema, root) {
            for (name, setting) in part["properties"].as_object().into_iter().flatten() {
                if any_value(setting) || parts(setting, root).into_iter().any(any_key) {
                    found.push(name.clone());
                } else {
                    free(setting, root, found);
                }
            }
        }
    }

    #[test]
    fn settings_that_take_any_key_are_known_as_data() {
        let mut found = Vec::new();
        let root = schema(DocumentKind::Graph, &all_kinds());
        let definitions = root["definitions"].as_object().into_iter().flatten();
        for (_, settings) in definitions.filter(|(name, _)| name.starts_with("module:")) {
            free(settings, &root, &mut found);
        }
        for name in ["body", "headers"] {
            assert!(found.iter().any(|one| one == name), "{name} is not found in {found:?}");
        }
        let unknown: Vec<_> =
            found.iter().filter(|name| !engine::config::DATA.contains(&name.as_str())).collect();
        assert!(
            unknown.is_empty(),
            "add them to engine::config::DATA, or `_` begins a comment there: {unknown:?}"
        );
    }
}
