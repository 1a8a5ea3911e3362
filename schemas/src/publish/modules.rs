//! The pair `module` and `module-config`: the settings depend on the name.

use engine::kind::Kind;
use serde_json::{Value, json};

use super::Maker;
use super::variable::placeholder;

/// A module that may be named, with the schema of its settings.
pub(super) struct Choice {
    name: &'static str,
    about: String,
    settings: Value,
    /// The settings where a connection may give what is required.
    inheriting: Option<Value>,
    is_required: bool,
}

impl Choice {
    /// Offers a row under its name and its other names. A connection may give it settings.
    pub(super) fn of(kind: Kind, maker: &mut Maker<'_>) -> Vec<Self> {
        let settings = maker.settings(kind);
        let whole = maker.of(kind.schema);
        let is_required = whole.get("required").is_some();
        let mut part = whole;
        part.as_object_mut().map(|members| members.shift_remove("required"));
        let inheriting = maker.definition(&format!("module:{}:inheriting", kind.name), |_| part);
        let about = about(kind);
        let names = std::iter::once(kind.name).chain(kind.aliases.iter().copied());
        names
            .map(|name| Self {
                name,
                about: about.clone(),
                settings: settings.clone(),
                inheriting: Some(inheriting.clone()),
                is_required,
            })
            .collect()
    }

    /// Offers a name with settings of its own, which are required.
    pub(super) fn with(kind: Kind, settings: Value) -> Self {
        Self { name: kind.name, about: about(kind), settings, inheriting: None, is_required: true }
    }

    /// Offers the same where something else may give what is required.
    pub(super) fn in_part(self) -> Self {
        let settings = self.inheriting.unwrap_or(self.settings);
        Self { settings, inheriting: None, is_required: false, ..self }
    }

    /// What holds for the object that names this module.
    fn rule(&self) -> Value {
        let mut whole = json!({ "properties": { "module-config": self.settings } });
        if self.is_required {
            whole["required"] = json!(["module-config"]);
        }
        let then = match &self.inheriting {
            None => whole,
            Some(part) => json!({
                "if": { "required": ["connection"] },
                "then": { "properties": { "module-config": part } },
                "else": whole,
            }),
        };
        json!({
            "if": { "properties": { "module": { "const": self.name } }, "required": ["module"] },
            "then": then,
        })
    }
}

/// The first sentences of a stage's manual.
fn about(kind: Kind) -> String {
    let schema = (kind.schema)(&mut schemars::SchemaGenerator::default());
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split("\n\n").next().unwrap_or_default().to_owned()
}

/// Describes the name of one of these modules.
pub(super) fn names(choices: &[Choice]) -> Value {
    let names: Vec<&str> = choices.iter().map(|choice| choice.name).collect();
    let told: Vec<&str> = choices.iter().map(|choice| choice.about.as_str()).collect();
    json!({ "anyOf": [{ "type": "string", "enum": names, "enumDescriptions": told }, placeholder()] })
}

/// Adds `module` and `module-config` to the schema of an object.
pub(super) fn offer(schema: &mut Value, choices: &[Choice], about: &str) {
    let mut module = names(choices);
    module["description"] = json!(about);
    schema["properties"]["module"] = module;
    schema["properties"]["module-config"] = json!({ "description": "The settings of the module." });
    schema["allOf"] = choices.iter().map(Choice::rule).collect();
}
