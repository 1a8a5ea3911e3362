//! A document: its text, and the tree that was read from it.

use serde_json::Value;

use super::resolve::resolve;
use super::{Faults, Lookup, Node, Pointer};

/// A configuration document that was read and resolved.
#[derive(Clone, Debug)]
pub struct Document {
    /// The whole tree, without the keys that begin with `_`.
    pub root: Node,
}

impl Document {
    /// Reads `source` and resolves its variables. Text that is not JSON is one fault; the variables that are not set are
    /// one each. None when there is nothing to go on with.
    pub fn read(source: &str, lookup: &dyn Lookup, faults: &mut Faults) -> Option<Self> {
        let mut value: Value = match serde_json::from_str(source) {
            Ok(value) => value,
            Err(error) => {
                faults.add(&Pointer::root(), format!("not valid JSON: {error}"), None);
                return None;
            }
        };
        leave_out_comments(&mut value);
        resolve(&mut value, &Pointer::root(), lookup, faults);
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
        let told: Vec<_> = faults.iter().map(|fault| fault.problem.as_str()).collect();
        assert_eq!(told, ["not valid JSON: expected value at line 2 column 8"]);
    }

    #[test]
    fn keys_for_people_are_left_out_everywhere() {
        let mut faults = Faults::default();
        let read =
            Document::read(r#"{"_note": "{$GONE}", "a": [{"_b": 1, "c": 2}]}"#, &|_: &str| None, &mut faults);
        assert_eq!(read.unwrap().root.value(), &serde_json::json!({"a": [{"c": 2}]}));
        assert!(faults.is_empty());
    }
}
