//! The documents whose keys are read by hand: what describes them, key by key.

use std::num::NonZeroU32;

use engine::config::Secret;
use engine::kind::Role;
use engine::limits::Limits;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Maker;
use super::modules::{Choice, offer};
use super::routes::{delivery, destinations, route, target, way};

/// The webhooks that a receiver takes, by their id: `POST /webhook/{id}`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Entry {
    /// What a body is: `json` is refused unless it is valid JSON, `blob` is anything.
    #[schemars(default)]
    data_type: DataType,
}

/// What a body is.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
enum DataType {
    /// Valid JSON.
    #[default]
    Json,
    /// Any bytes.
    Blob,
}

/// The channel that webhooks wait in, with its bounds.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Channel {
    /// The channel's name: 1 to 64 letters, digits, `-`, `_` and `.`. Entries may share a channel.
    channel: String,
    /// What a connector must present. Without, the receiver's `channel_token` holds.
    channel_token: Option<Secret>,
}

/// The receiver.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Cloud {
    /// The receiver: `https://host[:port][/prefix]`, with or without `/connect/stream`; `http`, `ws` and `wss` are taken too.
    url: String,
    /// The token of every channel that has none of its own.
    token: Option<Secret>,
    /// The channels to take: those that have routes.
    channels: Option<Vec<String>>,
}

/// A channel with its token and its destination.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Routed {
    /// The channel's token.
    token: Option<Secret>,
    /// Whether this channel is only watched, whatever `tap` at the top says.
    tap: Option<bool>,
}

/// What a connector takes, and where it goes: `cloud` with `routes`; `channels`; or the flat shape of the Python connector,
/// with one channel and `default_target`, `targets` or `webhooks_config`.
#[derive(JsonSchema)]
#[schemars(inline, deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Connector {
    /// The receiver, its token and its channels.
    cloud: Option<Cloud>,
    /// The receiver's URL, where `channels` have their own tokens, and in the flat shape.
    cloud_url: Option<String>,
    /// The channel of the flat shape: 1 to 64 letters, digits, `-`, `_` and `.`.
    channel: Option<String>,
    /// The token of the flat shape's channel.
    token: Option<Secret>,
    /// The file whose entries say, by webhook id, where the webhooks of the flat shape's channel go. It is one that
    /// receivers read, and stands relative to this one.
    webhooks_config: Option<String>,
    /// The file of connections, relative to this one. Without, it is the connections.json beside this one.
    connections_config: Option<String>,
    /// Another name of `reconnect.initial_seconds`.
    reconnect_delay: Option<f64>,
    /// Another name of `reconnect.max_seconds`.
    max_reconnect_delay: Option<f64>,
    /// Another name of `max_in_flight`.
    max_concurrent_requests: Option<NonZeroU32>,
    /// Another name of `tls.ca`.
    ca_cert_path: Option<String>,
    /// Another name of `tls.cert`.
    client_cert_path: Option<String>,
    /// Another name of `tls.key`.
    client_key_path: Option<String>,
    /// The receiver's certificate is always verified: false is refused.
    verify_ssl: Option<bool>,
    /// It has no effect here: waits between connections double.
    reconnect_backoff_multiplier: Option<f64>,
    /// It has no effect here: the receiver says how often there are signs of life.
    heartbeat_timeout: Option<f64>,
    /// It has no effect here.
    connection_timeout: Option<f64>,
    /// It has no effect here: the receiver's limits say how long a webhook may be in flight.
    ack_timeout: Option<f64>,
    /// It has no effect here: the variable WEBHOOK_CONNECT_LOG says what is logged.
    log_level: Option<String>,
    /// It has no effect here: `--log-format` says how log lines are written.
    log_format: Option<String>,
}

/// A stage of the graph.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
struct Stage {
    /// The name of a connection whose settings the module takes over. What stands in `module-config` wins.
    connection: Option<String>,
    /// What it takes webhooks from: the name of a stage, or the name, a dot and a port, or a list of these.
    from: Option<Ends>,
}

/// One end or several.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "it describes the document, which is read as a tree")]
enum Ends {
    /// `stage` or `stage.port`.
    One(String),
    /// Several of them.
    Many(Vec<String>),
}

pub(super) fn webhooks(maker: &mut Maker<'_>) -> Value {
    let entry = maker.definition("webhook", entry);
    json!({
        "description": "The webhooks that a receiver takes, by their id: `POST /webhook/{id}`.",
        "type": "object",
        "additionalProperties": entry,
        "patternProperties": comments(),
    })
}

fn entry(maker: &mut Maker<'_>) -> Value {
    let entry = maker.of(Entry::json_schema);
    let channel = maker.definition("channel", channel);
    let outlets = maker.kinds.iter().filter(|kind| kind.role == Role::Outlet);
    let outlets: Vec<Choice> = outlets.map(|kind| Choice::with(*kind, channel.clone())).collect();
    let choices = outlets.into_iter().chain(destinations(maker)).collect();
    let about = "Where the webhooks go: `webhook_connect` keeps them for a connector, any other the receiver calls itself.";
    let mut entry = way(entry, choices, about, maker);
    let gates = crate::webhooks::gates();
    for kind in maker.kinds.iter().filter(|kind| gates.contains(&kind.name)) {
        entry["properties"][kind.name] = maker.settings(*kind);
    }
    if let Some(gate) = maker.kind("json_schema") {
        // The schema itself stands there.
        let settings = maker.of(gate.schema);
        entry["properties"]["json_schema"] = settings["properties"]["json_schema"].clone();
    }
    if let Some(receive) = maker.kind("receive") {
        let settings = maker.of(receive.schema);
        for key in crate::webhooks::OF_THE_SOURCE {
            entry["properties"][key] = settings["properties"][key].clone();
        }
    }
    closed(entry)
}

fn channel(maker: &mut Maker<'_>) -> Value {
    let mut channel = maker.of(Channel::json_schema);
    let limits = maker.of(Limits::json_schema);
    for (key, limit) in limits["properties"].as_object().into_iter().flatten() {
        channel["properties"][key] = limit.clone();
    }
    closed(channel)
}

pub(super) fn connector(maker: &mut Maker<'_>) -> Value {
    let mut root = maker.of(Connector::json_schema);
    let destination = route(maker);
    root["properties"]["routes"] = json!({
        "description": "Where webhooks go, by channel.",
        "type": "object",
        "additionalProperties": destination,
        "patternProperties": comments(),
    });
    let mut routed = maker.of(Routed::json_schema);
    routed["properties"]["destination"] =
        json!({ "description": "Where the channel's webhooks go.", "allOf": [destination] });
    delivery(&mut routed, maker);
    routed["required"] = json!(["destination"]);
    root["properties"]["channels"] = json!({
        "description": "Channels with a token and a destination each, instead of `routes`.",
        "type": "object",
        "additionalProperties": routed,
        "patternProperties": comments(),
    });
    let target = maker.definition("target", target);
    root["properties"]["default_target"] = json!({
        "description": "Where the webhooks of the flat shape's channel go that no target of `targets` takes.",
        "anyOf": [target, { "type": "null" }],
    });
    root["properties"]["targets"] = json!({
        "description": "Where the webhooks of the flat shape's channel go, by webhook id.",
        "type": ["object", "null"],
        "additionalProperties": target,
        "patternProperties": comments(),
    });
    root["properties"]["connections"] = connections(maker);
    if let Some(subscribe) = maker.kind("subscribe") {
        let settings = maker.of(subscribe.schema);
        for key in crate::connector::SHARED {
            root["properties"][key] = settings["properties"][key].clone();
        }
    }
    root
}

pub(super) fn connections(_: &mut Maker<'_>) -> Value {
    json!({
        "description": "Settings that several destinations share, by name.",
        "type": "object",
        "additionalProperties": {
            "description": "The settings of one connection: those of the modules that name it.",
            "type": "object",
            "properties": {
                "type": { "description": "What the connection is for. It is for people.", "type": "string" },
            },
        },
        "patternProperties": comments(),
    })
}

pub(super) fn graph(maker: &mut Maker<'_>) -> Value {
    let stage = maker.definition("stage", stage);
    json!({
        "description": "A graph of stages, for either end. `webhook-connect plan FILE --format json` prints one.",
        "type": "object",
        "properties": {
            "stages": {
                "description": "The stages, by name.",
                "type": "object",
                "additionalProperties": stage,
                "patternProperties": comments(),
            },
        },
        "required": ["stages"],
        "additionalProperties": false,
    })
}

fn stage(maker: &mut Maker<'_>) -> Value {
    let mut stage = maker.of(Stage::json_schema);
    let kinds = maker.kinds.to_vec();
    let choices: Vec<Choice> = kinds.into_iter().flat_map(|kind| Choice::of(kind, maker)).collect();
    offer(&mut stage, &choices, "What the stage is.");
    stage["required"] = json!(["module"]);
    closed(stage)
}

/// What may stand at a key that begins with `_` where keys are names: a comment, and no object, which would look like one of
/// the named things.
pub(super) fn comments() -> Value {
    json!({ "^_": { "type": ["string", "number", "boolean", "array", "null"] } })
}

/// Allows no other keys, and sorts `properties` before what depends on them.
pub(super) fn closed(mut schema: Value) -> Value {
    schema["additionalProperties"] = Value::Bool(false);
    let rules =
        schema.as_object_mut().and_then(|members: &mut Map<String, Value>| members.shift_remove("allOf"));
    if let Some(rules) = rules {
        schema["allOf"] = rules;
    }
    schema
}
