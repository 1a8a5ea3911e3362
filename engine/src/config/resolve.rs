//! References in text leaves are replaced by what they refer to: variables, files, secrets.
//!
//! Resolving happens after parsing, so a value that holds a quote cannot change the document's structure.

use serde_json::Value;

use super::open::left_open;
use super::reference::{Found, Reference, read};
use super::{Faults, Pointer};

/// What becomes of the variables of a document.
#[derive(Clone, Copy)]
pub enum Variables<'a> {
    /// They are replaced by their values.
    Known(&'a dyn Lookup),
    /// They are replaced where they are set or have a default; other texts stay open, so that they fit everywhere.
    StandIns(&'a dyn Lookup),
    /// Every text with a variable stays open, to be shown as it is written.
    Kept,
}

/// Where the values of variables come from.
pub trait Lookup {
    /// Returns the value of the variable `name`, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// Returns the text of a file or of a secret in Vault; none when there is nothing. May block.
    ///
    /// # Errors
    /// It cannot be read, or is not read here: why.
    fn fetch(&self, _from: Reference<'_>) -> Result<Option<String>, String> {
        Err("secrets are not read here".to_owned())
    }
}

/// Finds what a reference refers to.
fn find(reference: Reference<'_>, lookup: &dyn Lookup) -> Result<Option<String>, String> {
    match reference {
        Reference::Variable(name) => Ok(lookup.get(name)),
        Reference::File(_) | Reference::Vault { .. } => lookup.fetch(reference),
    }
}

/// The environment of the process.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Lookup for Environment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl<F: Fn(&str) -> Option<String>> Lookup for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Resolves every text leaf of `value` in place, complaining about references that lead nowhere and have no default.
pub(super) fn resolve(value: &mut Value, at: &Pointer, lookup: Variables<'_>, faults: &mut Faults) {
    match value {
        Value::String(text) if text.contains("{$") => {
            *text = match lookup {
                Variables::Known(lookup) => {
                    let before = faults.len();
                    let resolved = resolve_text(text, at, lookup, faults);
                    // Open, so that nobody complains about what is missing as well.
                    if faults.len() == before { resolved } else { left_open(text) }
                }
                Variables::StandIns(lookup) => leave_open(text, Some(lookup)),
                Variables::Kept => leave_open(text, None),
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                resolve(item, &at.index(index), lookup, faults);
            }
        }
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                resolve(member, &at.child(key), lookup, faults);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn resolve_text(text: &str, at: &Pointer, lookup: &dyn Lookup, faults: &mut Faults) -> String {
    let (mut resolved, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begins) = rest.find("{$") {
        let (before, variable) = rest.split_at(begins);
        resolved.push_str(before);
        let Some(Found { to, default, rest: after }) = read(variable) else {
            // Not a reference: the text stays as it is.
            resolved.push_str("{$");
            rest = &variable[2..];
            continue;
        };
        let found = to.and_then(|to| Ok((to, find(to, lookup)?.or_else(|| default.map(str::to_owned)))));
        match found {
            Ok((_, Some(value))) => resolved.push_str(&value),
            Ok((Reference::Variable(name), None)) => {
                let help = format!("set it, or give a default: {{${name}:default}}");
                faults.add(at, format!("environment variable {name} is not set"), Some(help));
            }
            Ok((Reference::File(path), None)) => {
                let help = "a file that holds the secret and nothing else must be there".to_owned();
                faults.add(at, format!("the file {path} is not there"), Some(help));
            }
            Ok((Reference::Vault { path, field }, None)) => {
                let help = format!("write it there, or give a default: {{$vault:{path}#{field}:default}}");
                faults.add(at, format!("Vault has no field {field} of a secret at {path}"), Some(help));
            }
            Err(problem) => faults.add(at, problem, None),
        }
        rest = after;
    }
    resolved.push_str(rest);
    resolved
}

/// Leaves a text open when it has a reference that `lookup` and its default do not give; without `lookup`, when it has any.
fn leave_open(text: &str, lookup: Option<&dyn Lookup>) -> String {
    let mut unknown = Faults::default();
    let resolved = resolve_text(text, &Pointer::root(), lookup.unwrap_or(&Nobody), &mut unknown);
    let is_open = !unknown.is_empty() || (lookup.is_none() && resolved != text);
    if is_open { left_open(text) } else { resolved }
}

/// Knows no variable.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Lookup for Nobody {
    fn get(&self, _name: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOST").then(|| "a\"b".to_owned())
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand_in_a_text() {
        let mut value = json!({"url": "x {$HOST}/{$PORT:80} {$ no}", "list": ["{$NONE:}"], "n": 1});
        let mut faults = Faults::default();
        resolve(&mut value, &Pointer::root(), Variables::Known(&lookup), &mut faults);
        assert_eq!(value, json!({"url": "x a\"b/80 {$ no}", "list": [""], "n": 1}));
        assert!(faults.is_empty());
    }

    #[test]
    fn without_looking_defaults_hold_and_the_rest_stays_open() {
        let document = json!({"a": "x{$A}", "b": "{$B:5}", "c": "plain {$ no}"});
        let read = |variables| {
            let (mut value, mut faults) = (document.clone(), Faults::default());
            resolve(&mut value, &Pointer::root(), variables, &mut faults);
            assert!(faults.is_empty());
            value
        };
        let (a, b) = (left_open("x{$A}"), left_open("{$B:5}"));
        assert_eq!(read(Variables::StandIns(&Nobody)), json!({"a": a, "b": "5", "c": "plain {$ no}"}));
        assert_eq!(read(Variables::Kept), json!({"a": a, "b": b, "c": "plain {$ no}"}));
    }

    #[test]
    fn a_variable_that_is_not_set_is_a_fault_at_its_leaf() {
        let mut faults = Faults::default();
        resolve(&mut json!({"a": ["{$GONE}"]}), &Pointer::root(), Variables::Known(&lookup), &mut faults);
        let told: Vec<_> = faults.iter().map(|fault| (fault.at.to_string(), fault.problem.clone())).collect();
        assert_eq!(told, [("/a/0".to_owned(), "environment variable GONE is not set".to_owned())]);
    }

    /// Knows one file and one secret; another file cannot be read.
    struct Store;

    impl Lookup for Store {
        fn get(&self, _name: &str) -> Option<String> {
            None
        }

        fn fetch(&self, from: Reference<'_>) -> Result<Option<String>, String> {
            match from {
                Reference::File("/a") => Ok(Some("in a file".to_owned())),
                Reference::File("/locked") => Err("/locked cannot be read: permission denied".to_owned()),
                Reference::Vault { path: "p", field: "f" } => Ok(Some("in {$Vault}".to_owned())),
                Reference::File(_) | Reference::Vault { .. } | Reference::Variable(_) => Ok(None),
            }
        }
    }

    #[test]
    fn files_and_secrets_are_put_in_as_they_are() {
        let mut value = json!(["x{$file:/a}", "{$vault:p#f}y", "{$vault:p#g:none}"]);
        let mut faults = Faults::default();
        resolve(&mut value, &Pointer::root(), Variables::Known(&Store), &mut faults);
        assert_eq!(value, json!(["xin a file", "in {$Vault}y", "none"]));
        assert!(faults.is_empty());
    }

    #[test]
    fn a_secret_that_cannot_be_had_is_a_fault_at_its_leaf_whatever_its_default() {
        for (text, problem) in [
            ("{$file:/gone}", "the file /gone is not there"),
            ("{$file:/locked}", "/locked cannot be read: permission denied"),
            ("{$file:here}", "`here` is no absolute path; write {$file:/PATH}"),
            ("{$vault:p#g}", "Vault has no field g of a secret at p"),
            ("{$vault:..#g:default}", "`..` is no path of a secret; write {$vault:PATH#FIELD}"),
        ] {
            let mut faults = Faults::default();
            resolve(&mut json!([text]), &Pointer::root(), Variables::Known(&Store), &mut faults);
            let told: Vec<_> = faults.iter().map(|fault| (fault.at.to_string(), &*fault.problem)).collect();
            assert_eq!(told, [("/0".to_owned(), problem)]);
        }
    }

    #[test]
    fn secrets_that_are_not_read_stay_open_even_with_a_default() {
        let text = "{$vault:p#f:default}";
        let mut value = json!(text);
        resolve(&mut value, &Pointer::root(), Variables::StandIns(&lookup), &mut Faults::default());
        assert_eq!(value, json!(left_open(text)));
    }
}
