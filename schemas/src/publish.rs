//! JSON Schemas of every document, made of the types that read them and of the rows of the registry.
//!
//! A schema is for editors: it knows every key with its meaning, unit, default and bounds. It is stricter than the program
//! in two places: a key that the program would ignore with a warning is a mistake here, and so is a number written as text.

mod formats;
mod modules;
mod routes;
mod variable;

use engine::kind::Kind;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::kinds::DocumentKind;
use variable::OrVariable;

/// Returns the schema of a kind of document. `kinds` are the rows of both ends.
#[must_use]
pub fn schema(kind: DocumentKind, kinds: &[Kind]) -> Value {
    let mut maker = Maker::new(kinds);
    let mut root = match kind {
        DocumentKind::Webhooks => formats::webhooks(&mut maker),
        DocumentKind::Receiver => maker.of(crate::receiver::schema),
        DocumentKind::Connector => formats::connector(&mut maker),
        DocumentKind::Connections => formats::connections(&mut maker),
        DocumentKind::Graph => formats::graph(&mut maker),
    };
    root["properties"]["$schema"] =
        json!({ "type": "string", "description": "Where this schema is. For editors." });
    let definitions = maker.definitions();
    let mut all = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "title": format!("{}.json", kind.name()) });
    for (key, value) in root.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all["definitions"] = Value::Object(definitions);
    allow_comments(&mut all);
    all
}

/// Makes schemas and collects what they refer to.
struct Maker<'a> {
    kinds: &'a [Kind],
    generator: SchemaGenerator,
    own: Map<String, Value>,
}

impl<'a> Maker<'a> {
    fn new(kinds: &'a [Kind]) -> Self {
        let generator = SchemaSettings::draft07().with_transform(OrVariable).into_generator();
        Self { kinds, generator, own: Map::new() }
    }

    /// Makes one schema by a function of schemars, with every leaf open to variables.
    fn of(&mut self, make: impl FnOnce(&mut SchemaGenerator) -> schemars::Schema) -> Value {
        let mut schema = make(&mut self.generator);
        for transform in self.generator.transforms_mut() {
            transform.transform(&mut schema);
        }
        schema.to_value()
    }

    /// Returns a reference to a definition, making it at the first call.
    fn definition(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.own.contains_key(name) {
            self.own.insert(name.to_owned(), Value::Null);
            let made = make(self);
            self.own.insert(name.to_owned(), made);
        }
        json!({ "$ref": format!("#/definitions/{name}") })
    }

    /// Returns a reference to the settings of one row.
    fn settings(&mut self, kind: Kind) -> Value {
        self.definition(&format!("module:{}", kind.name), |maker| maker.of(kind.schema))
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        self.kinds.iter().find(|kind| kind.name == name).copied()
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.generator.take_definitions(true);
        all.extend(self.own);
        all.sort_keys();
        all
    }
}

/// Lets every object that is closed have keys that begin with `_`, which are for people.
fn allow_comments(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("additionalProperties") == Some(&Value::Bool(false)) {
                members.insert("patternProperties".to_owned(), json!({ "^_": {} }));
            }
            members.values_mut().for_each(allow_comments);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_comments),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
