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
    use serde_json::Value;

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
}
