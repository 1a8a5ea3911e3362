//! Where webhooks go: a destination, a chain of several, a route per webhook id, a target of the flat shape.

use engine::config::Secret;
use engine::kind::Role;
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::Maker;
use super::formats::{closed, comments};
use super::modules::{Choice, names, offer};
use crate::chain::{CONFIG, MOST};
use crate::flat::{DESTINATION, RETRY};

/// Where webhooks go.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Way {
    /// The name of a connection whose settings the module takes over. What stands in `module-config` wins. Items of a
    /// `chain` that name no connection take this one over where they can use it.
    connection: Option<String>,
    /// The `topic` of `module-config`, for files that have it here. What stands in `module-config` wins.
    topic: Option<String>,
    /// The `queue_name` of `module-config`, for files that have it here. What stands in `module-config` wins.
    queue_name: Option<String>,
}

/// Where the webhooks of one channel go.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct OfChannel {
    /// The channel's token, if it has one of its own.
    token: Option<Secret>,
    /// Whether this channel is only watched, whatever `tap` at the top says.
    tap: Option<bool>,
}

/// One of the destinations of a chain.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Item {
    /// The name of a connection whose settings the module takes over. What stands in `module-config` wins.
    connection: Option<String>,
    /// Whether the webhook counts as delivered only when this destination confirmed it. The failure of one that is not
    /// required is counted, logged, and holds nothing up.
    #[schemars(default = "yes")]
    required: bool,
    /// The `topic` of `module-config`, for files that have it here.
    topic: Option<String>,
    /// The `queue_name` of `module-config`, for files that have it here.
    queue_name: Option<String>,
    /// The `destination` of `module-config`, for files that have it here.
    destination: Option<String>,
}

fn yes() -> bool {
    true
}

/// Refers to where the webhooks of a channel go: a URL, or an object. With `by_webhook` it tells webhooks apart.
pub(super) fn route(maker: &mut Maker<'_>) -> Value {
    maker.definition("destination", |maker| {
        let way = maker.definition("way", |maker| {
            let way = way(json!({ "type": "object" }), destinations(maker), "What delivers the webhooks.", maker);
            or_url(closed(way))
        });
        let own = maker.of(OfChannel::json_schema);
        let mut route = self::way(own, destinations(maker), "What delivers the webhooks.", maker);
        route["properties"]["by_webhook"] = json!({
            "description": "Routes by webhook id. The module or the chain beside it takes every other webhook; without \
                            one they are rejected.",
            "type": "object",
            "additionalProperties": way,
            "patternProperties": comments(),
        });
        route["anyOf"] = json!([{ "required": ["module"] }, { "required": ["chain"] }, { "required": ["by_webhook"] }]);
        or_url(closed(route))
    })
}

fn or_url(object: Value) -> Value {
    let url = json!({
        "description": "A URL instead of a module: `http://…`, `https://…` or `log:`.",
        "type": "string",
    });
    json!({ "anyOf": [object, url] })
}

/// Returns every destination as a choice.
pub(super) fn destinations(maker: &mut Maker<'_>) -> Vec<Choice> {
    let kinds: Vec<_> = maker.kinds.iter().filter(|kind| kind.role == Role::Destination).copied().collect();
    kinds.into_iter().flat_map(|kind| Choice::of(kind, maker)).collect()
}

/// Gives an object the keys that say where webhooks go: one of `choices`, or a chain.
pub(super) fn way(mut object: Value, choices: Vec<Choice>, about: &str, maker: &mut Maker<'_>) -> Value {
    let own = maker.of(Way::json_schema);
    for (key, member) in own["properties"].as_object().into_iter().flatten() {
        object["properties"][key] = member.clone();
    }
    offer(&mut object, &choices, about);
    object["properties"]["module-config"] =
        json!({ "description": "The settings of the module, or those that the items of the `chain` share." });
    delivery(&mut object, maker);
    let item = maker.definition("item", item);
    object["properties"]["chain"] = json!({
        "description": "Several destinations for each webhook. It counts as delivered once every required one confirmed \
                        it; another delivery asks only those that did not.",
        "type": "array",
        "items": item,
        "minItems": 1,
        "maxItems": MOST,
    });
    object["properties"]["chain-config"] = maker.definition("chain-config", chain_config);
    object["anyOf"] = json!([{ "required": ["module"] }, { "required": ["chain"] }]);
    object
}

/// Gives an object `retry` and `dead_letter`.
pub(super) fn delivery(object: &mut Value, maker: &mut Maker<'_>) {
    if let Some(retry) = maker.kind("retry") {
        let settings = maker.settings(retry);
        object["properties"]["retry"] = json!({
            "description": "What happens when the destination does not take a webhook.",
            "allOf": [settings],
        });
    }
    let dead_letter = maker.definition("dead_letter", dead_letter);
    object["properties"]["dead_letter"] = json!({
        "description": "What takes the webhooks that the destination refuses for good. Without, they are kept in the \
                        dead letters of the receiver.",
        "allOf": [dead_letter],
    });
}

fn dead_letter(maker: &mut Maker<'_>) -> Value {
    let mut object = json!({
        "description": "A destination of webhooks that were given up.",
        "type": "object",
        "properties": { "connection": {
            "description": "The name of a connection whose settings the module takes over.",
            "type": "string",
        } },
        "required": ["module"],
    });
    offer(&mut object, &destinations(maker), "What takes the webhooks.");
    closed(object)
}

/// An item of a chain: a module's name, or an object.
fn item(maker: &mut Maker<'_>) -> Value {
    let mut object = maker.of(Item::json_schema);
    // What is required may stand beside the chain.
    let choices: Vec<Choice> = destinations(maker).into_iter().map(Choice::in_part).collect();
    offer(&mut object, &choices, "What delivers the webhooks.");
    delivery(&mut object, maker);
    object["required"] = json!(["module"]);
    let mut name = names(&choices);
    name["description"] = json!("The name of a module that needs no settings of its own.");
    json!({ "anyOf": [closed(object), name] })
}

/// How the items of a chain run.
fn chain_config(maker: &mut Maker<'_>) -> Value {
    let mut object = json!({ "description": "How the items of the `chain` run.", "type": "object" });
    if let Some(chain) = maker.kind("chain") {
        let settings = maker.of(chain.schema);
        for key in CONFIG {
            object["properties"][key] = settings["properties"][key].clone();
        }
    }
    closed(object)
}

/// A target of the flat shape.
pub(super) fn target(maker: &mut Maker<'_>) -> Value {
    let mut object = json!({
        "description": "An HTTP server, which also gets the headers that the Python connector sends.",
        "type": "object",
    });
    for (module, keys) in [("http_webhook", DESTINATION), ("retry", RETRY)] {
        let Some(kind) = maker.kind(module) else { continue };
        let settings = maker.of(kind.schema);
        for (key, name) in keys {
            object["properties"][key] = settings["properties"][name].clone();
        }
    }
    object["required"] = json!(["url"]);
    closed(object)
}
