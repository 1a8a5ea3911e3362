//! A document: its text, and the tree that was read from it.

use serde_json::{Map, Value};

use super::keys::Keys;
use super::locate::Place;
use super::resolve::{Variables, resolve};
use super::twice::refuse_twice;
use super::{Faults, Lookup, Node, Pointer};

/// A configuration document that was read and resolved.
#[derive(Clone, Debug)]
pub struct Document {
    /// The whole tree, without its comments and without the `$schema` at its top, which is for editors.
    pub root: Node,
}

impl Document {
    /// Reads `source` and resolves its variables. Text that is not JSON is one fault; keys that stand twice in an object
    /// and variables that are not set are one each. None when there is nothing to go on with.
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
                faults.add_at_place(&Pointer::root(), place, format!("not valid JSON: {problem}"), None);
                return None;
            }
        };
        refuse_twice(source, faults);
        leave_out_comments(&mut value, Keys::TOP);
        if let Some(members) = value.as_object_mut() {
            members.shift_remove("$schema");
        }
        resolve(&mut value, &Pointer::root(), variables, faults);
        Some(Self { root: Node::new(value, Pointer::root()) })
    }
}

/// Removes comments. What only looks like one of the things that users name is emptied, so that nothing is said against
/// its inside.
fn leave_out_comments(value: &mut Value, keys: Keys) {
    match value {
        Value::Object(members) => {
            members.retain(|key, member| !keys.is_comment(key, member.is_object()));
            for (key, member) in members.iter_mut() {
                if keys == Keys::Names && key.starts_with('_') {
                    *member = Value::Object(Map::new());
                }
                leave_out_comments(member, keys.below(key));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| leave_out_comments(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_that_is_not_json_is_one_fault_with_its_line() {
        let mut faults = Faults::default();
        assert!(Document::read("{\n  \"a\": }", &|_: &str| None, &mut faults).is_none());
        let told = faults.render("x.json", "");
        assert_eq!(told, "x.json: 1 problem\n  /  line 2     not valid JSON: expected value\n");
    }

    fn read(source: &str) -> Value {
        let mut faults = Faults::default();
        let read = Document::read(source, &|_: &str| None, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        read.unwrap().root.value().clone()
    }

    #[test]
    fn keys_for_people_are_left_out_where_settings_are_expected() {
        let source = r#"{"$schema": "{$GONE}", "_note": "{$GONE}", "a": [{"_b": {"x": "{$GONE}"}, "c": 2}]}"#;
        assert_eq!(read(source), json!({"a": [{"c": 2}]}));
    }

    #[test]
    fn data_is_no_place_for_comments() {
        let data = json!({"_a": 1, "b": {"_c": [{"_d": {}}]}});
        let source = json!({"w": {"_x": 1, "response": {"_x": 1, "body": data}, "headers": data, "json_schema": data}});
        let wanted = json!({"w": {"response": {"body": data}, "headers": data, "json_schema": data}});
        assert_eq!(read(&source.to_string()), wanted);
    }

    #[test]
    fn a_webhook_may_be_called_like_data_and_has_comments_all_the_same() {
        let source = r#"{"body": {"_x": 1, "a": 1}, "routes": {"headers": {"_x": 1, "a": 1}}}"#;
        assert_eq!(read(source), json!({"body": {"a": 1}, "routes": {"headers": {"a": 1}}}));
    }

    #[test]
    fn what_looks_like_a_named_thing_stays_so_that_somebody_can_complain() {
        let source = r#"{"_a": {"module": "{$GONE}"}, "_b": "text", "routes": {"_c": {"x": 1}, "_d": []}}"#;
        assert_eq!(read(source), json!({"_a": {}, "routes": {"_c": {}}}));
    }
}
