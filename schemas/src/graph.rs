//! The explicit graph: stages by name, each with its module, its settings and what it takes webhooks from.
//!
//! ```json
//! {"stages": {
//!   "in":  {"module": "subscribe", "module-config": {"url": "..", "channel": "c", "token": "{$TOKEN}"}},
//!   "try": {"module": "retry", "from": "in"},
//!   "out": {"module": "log", "from": "try"},
//!   "bad": {"module": "log", "from": "try.exhausted"}
//! }}
//! ```
//!
//! `from` is the name of a stage, or the name, a dot and a port (`exhausted`, or the number of a link), or a list of these. Every other format desugars to this one.

use engine::config::{Faults, Node, as_written, suggest};
use engine::graph::draft::{Draft, From, Port, UnknownPort};
use engine::kind::Kind;
use serde_json::{Map, Value, json};

use crate::connections::Connections;
use crate::hide::hide;
use crate::names::named;

/// What a stage may hold.
const STAGE: [&str; 4] = ["module", "connection", "module-config", "from"];

/// Reads an explicit graph. Every complaint is added to `faults`; what is returned is whole only when there is none.
pub fn read(root: &Node, connections: &Connections, faults: &mut Faults) -> Vec<Draft> {
    let strangers = root.members().filter(|(key, _)| *key != "stages" && !key.starts_with('_'));
    for (key, member) in strangers {
        let help = suggest(key, ["stages"]).map(|near| format!("did you mean `{near}`?"));
        faults.add(member.at(), format!("unknown key `{key}`, expected `stages`"), help);
    }
    let Some(stages) = root.get("stages").filter(Node::is_object) else {
        faults.add(&root.at().child("stages"), "expected an object with one member per stage", None);
        return Vec::new();
    };
    if stages.members().next().is_none() {
        faults.add(stages.at(), "there is no stage", None);
    }
    let stages = named(&stages, "stage name", faults);
    let names: Vec<String> = stages.iter().map(|(name, _)| name.clone()).collect();
    let read = |(name, stage): &(String, Node)| read_stage(name, stage, &names, connections, faults);
    stages.iter().filter_map(read).collect()
}

fn read_stage(
    name: &str,
    stage: &Node,
    names: &[String],
    connections: &Connections,
    faults: &mut Faults,
) -> Option<Draft> {
    if !stage.is_object() {
        faults.add(stage.at(), "expected an object with `module`", None);
        return None;
    }
    for (key, member) in stage.members().filter(|(key, _)| !STAGE.contains(key)) {
        let help = suggest(key, STAGE).map(|near| format!("did you mean `{near}`?"));
        let known = "`module`, `connection`, `module-config`, `from`";
        faults.add(member.at(), format!("unknown key `{key}`, expected {known}"), help);
    }
    let from = read_from(stage, names, faults);
    // A stage without a module stays, so that nobody misses it.
    let module = match stage.get("module") {
        Some(module) if module.text().is_some_and(|text| !text.is_empty()) => {
            module.text().unwrap_or_default().to_owned()
        }
        Some(module) => {
            faults.add(module.at(), "expected the name of a module", None);
            String::new()
        }
        None => {
            faults.add(stage.at(), "`module` is missing", None);
            String::new()
        }
    };
    let config = stage.get("module-config");
    let config = config.unwrap_or_else(|| Node::new(json!({}), stage.at().child("module-config")));
    let settings = connections.apply(stage.get("connection").as_ref(), &config, faults);
    let settings = settings.unwrap_or_else(|| Node::stand_in(config.at().clone()));
    Some(Draft { name: name.to_owned(), module, settings, at: stage.at().clone(), from })
}

fn read_from(stage: &Node, names: &[String], faults: &mut Faults) -> Vec<From> {
    let Some(from) = stage.get("from") else { return Vec::new() };
    match from.value() {
        Value::Array(items) => {
            let item = |(index, item): (usize, &Value)| {
                let node = Node::new(item.clone(), from.at().index(index));
                read_end(&node, names, faults)
            };
            items.iter().enumerate().filter_map(item).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            read_end(&from, names, faults).into_iter().collect()
        }
    }
}

/// Reads `name` or `name.port`. A stage's name may hold dots: a whole name goes first.
fn read_end(node: &Node, names: &[String], faults: &mut Faults) -> Option<From> {
    let Some(text) = node.text() else {
        faults.add(node.at(), "expected the name of a stage, or `name.port`", None);
        return None;
    };
    let is_stage = |name: &str| names.iter().any(|known| known == name);
    if is_stage(text) {
        return Some(From::out(text));
    }
    let Some((stage, port)) = text.rsplit_once('.').filter(|(stage, _)| is_stage(stage)) else {
        // The check complains about it.
        return Some(From::out(text));
    };
    match port.parse::<Port>() {
        Ok(port) => Some(From { stage: stage.to_owned(), port }),
        Err(UnknownPort) => {
            let near =
                suggest(port, ["out", "exhausted"]).map(|near| format!("did you mean `{stage}.{near}`?"));
            faults.add(node.at(), format!("`{stage}` has no port `{port}`"), near);
            None
        }
    }
}

/// Returns the drafts as they may be shown: variables that were left open stand in them as they are written, and `***`
/// stands for every secret that is written as text.
#[must_use]
pub fn shown(drafts: &[Draft], kinds: &[Kind]) -> Vec<Draft> {
    let show = |draft: &Draft| {
        let module = as_written(&draft.module).to_owned();
        let kind = kinds.iter().find(|kind| kind.name == module || kind.aliases.contains(&module.as_str()));
        let settings = draft.settings.value();
        let settings = kind.map_or_else(|| settings.clone(), |kind| hide(settings, kind));
        let from = |from: &From| From { stage: as_written(&from.stage).to_owned(), port: from.port };
        Draft {
            name: as_written(&draft.name).to_owned(),
            module,
            settings: Node::new(written(&settings), draft.settings.at().clone()),
            at: draft.at.clone(),
            from: draft.from.iter().map(from).collect(),
        }
    };
    drafts.iter().map(show).collect()
}

/// Writes drafts as an explicit graph, which reads back as the same drafts.
#[must_use]
pub fn write(drafts: &[Draft]) -> Value {
    let stages: Map<String, Value> = drafts.iter().map(|draft| (draft.name.clone(), stage(draft))).collect();
    json!({ "stages": stages })
}

fn stage(draft: &Draft) -> Value {
    let mut stage = Map::new();
    stage.insert("module".to_owned(), json!(draft.module));
    let settings = draft.settings.value().clone();
    // Most settings are an object; without any, the key says nothing.
    if settings != json!({}) {
        stage.insert("module-config".to_owned(), settings);
    }
    let mut ends: Vec<Value> = draft.from.iter().map(|from| json!(from.to_string())).collect();
    match ends.len() {
        0 => {}
        1 => drop(stage.insert("from".to_owned(), ends.remove(0))),
        _ => drop(stage.insert("from".to_owned(), Value::Array(ends))),
    }
    Value::Object(stage)
}

/// Returns the value with its open texts as they are written.
fn written(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(as_written(text)),
        Value::Array(items) => items.iter().map(written).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), written(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
