//! A document: its text, and the tree that was read from it.

use serde_json::Value;

use super::locate::Place;
use super::resolve::{Variables, resolve};
use super::{Faults, Lookup, Node, Pointer};

/// A configuration document that was read and resolved.
#[derive(Clone, Debug)]
pub struct Document {
    /// The whole tree, without the keys that begin with `_` and without the `$schema` at its top, which is for editors.
    pub root: Node,
}

impl Document {
    /// Reads `source` and resolves its variables. Text that is not JSON is one fault; the variables that are not set are
    /// one each. None when there is nothing to go on with.
    pub fn read(source: &str, lookup: &dyn Lookup, faults: &mut Faults) -> Option<Self> {
        Self::read_with(source, Variables::Known(lookup), faults)
    }

    /// Reads `source` and does with its variables what `variables` says.
    pub fn read_with(source: &str, variables: Variables<'_>, faults: &mut Faults) -> Option<Self> {
        let mut value: Value = match serde_json::from_str(source) {
            Ok(value) => value,
            Err(error) => {
                let text = error.to_string();
                let problem = text.split_once(" at line ").map_or(text.as_str(), |(problem, _)| problem);
                let place = Place { line: error.line().max(1), column: error.column().max(1) };
                faults.add_at_place(place, format!("not valid JSON: {problem}"));
                return None;
            }
        };
        leave_out_comments(&mut value);
        if let Some(members) = value.as_object_mut() {
            members.shift_remove("$schema");
        }
        resolve(&mut value, &Pointer::root(), variables, faults);
        Some(Self { root: Node::new(value, Pointer::root()) })
    }
}

/// Removes keys that begin with `_`, which are for people.
fn leave_out_comments(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !key.starts_with('_'));
            members.values_mut().for_each(leave_out_comments);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_comments),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_json_is_one_fault_with_its_line() {
        let mut faults = Faults::default();
        assert!(Document::read("{\n  \"a\": }", &|_: &str| None, &mut faults).is_none());
        let told = faults.render("x.json", "");
        assert_eq!(told, "x.json: 1 problem\n  /  line 2     not valid JSON: expected value\n");
    }

    #[test]
    fn keys_for_people_are_left_out_everywhere() {
        let mut faults = Faults::default();
        let read = Document::read(
            r#"{"$schema": "{$GONE}", "_note": "{$GONE}", "a": [{"_b": 1, "c": 2}]}"#,
            &|_: &str| None,
            &mut faults,
        );
        assert_eq!(read.unwrap().root.value(), &serde_json::json!({"a": [{"c": 2}]}));
        assert!(faults.is_empty());
    }
}
