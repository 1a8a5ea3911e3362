//! `webhooks.json`: which webhooks a receiver takes, how their senders prove themselves, where they go.
//!
//! One entry per webhook id. An entry becomes a source, its gates in order of cost, the buffer of its channel and the
//! outlet of that channel; entries that name the same channel share both of these. An entry whose `module` or `chain` names
//! destinations is delivered by the receiver itself.

use std::collections::BTreeMap;

use engine::config::{Faults, Node, Pointer, Secret, is_open};
use engine::graph::draft::{Draft, From};
use engine::limits::Limits;
use serde_json::json;

use crate::connections::Connections;
use crate::direct;
use crate::names::{check_name, named};
use crate::receiver::{Buffer, Receiver};
use crate::unavailable;

/// The gates that ask who the sender is and need nobody else for that, in the order in which they are asked.
const PROOFS: [&str; 9] = [
    "ip_whitelist",
    "authorization",
    "basic_auth",
    "header_auth",
    "query_auth",
    "digest_auth",
    "hmac",
    "signature",
    "jwt",
];

/// The gates that may ask another server who the sender is, which costs more than all the others together.
const ASKING: [&str; 1] = ["oauth2"];

/// The gates that prove nobody: each has its own place among the others.
const BESIDE: [&str; 4] = ["handshake", "rate_limit", "json_schema", "credential_cleanup"];

/// What an entry may hold beside its gates and the settings of its source.
const OTHERS: [&str; 10] = [
    "data_type",
    "module",
    "module-config",
    "connection",
    "retry",
    "dead_letter",
    "chain",
    "chain-config",
    "topic",
    "queue_name",
];

/// Returns the gates that an entry may hold, each a key with its name.
pub(crate) fn gates() -> Vec<&'static str> {
    [&PROOFS[..], &ASKING, &BESIDE].concat()
}

/// What an entry may hold that are settings of its source, under the same names.
pub(crate) const OF_THE_SOURCE: [&str; 5] =
    ["methods", "content_types", "max_body_bytes", "response", "trusted_proxies"];

/// What an entry may hold that says how its webhooks are delivered, which a connector's own file says for its channels.
const OF_THE_CONNECTOR: [&str; 4] = ["connection", "retry", "dead_letter", "chain-config"];

/// What an entry may hold in other versions: a gate that is not built must not read as an open door.
pub(crate) const LATER: [&str; 3] = ["oauth1", "recaptcha", "deduplicate"];

/// The keys of `module-config` that are not limits.
const CHANNEL_KEYS: [&str; 2] = ["channel", "channel_token"];

/// One channel, as the entries that feed it describe it.
struct Channel {
    at: Pointer,
    token: Node,
    limits: Limits,
    /// The limits that are not left to their defaults.
    own_limits: Node,
    from: Vec<From>,
}

/// Desugars a `webhooks.json`. Every complaint is added to `faults`; what is returned is whole only when there is none.
pub fn read(root: &Node, receiver: &Receiver, connections: &Connections, faults: &mut Faults) -> Vec<Draft> {
    if !root.is_object() {
        faults.add(root.at(), "expected an object with one entry per webhook id", None);
    } else if root.members().next().is_none() {
        // It still answers, and hands out what its buffer holds; entries may come while it runs.
        faults.warn(root.at(), "there is no entry: every webhook is answered 404");
    }
    let (mut drafts, mut channels) = (Vec::new(), BTreeMap::new());
    for (id, entry) in named(root, "webhook id", faults) {
        let Some(last) = read_entry(&id, &entry, &mut drafts, faults) else { continue };
        check_largest(&entry, receiver, faults);
        if is_direct(&entry) {
            direct::push(&id, &entry, last, receiver, connections, (&mut drafts, faults));
        } else if let Some((name, channel)) = read_channel(&id, &entry, receiver, faults) {
            join(name, channel, last, &mut channels, faults);
        }
    }
    for (name, channel) in channels {
        push_channel(&name, channel, receiver, &mut drafts);
    }
    drafts
}

/// Reads how an entry's webhooks come in and returns the name of its last gate.
fn read_entry(id: &str, entry: &Node, drafts: &mut Vec<Draft>, faults: &mut Faults) -> Option<String> {
    if !entry.is_object() {
        faults.add(entry.at(), "expected an object", None);
        return None;
    }
    check_name("webhook id", id, entry.at(), faults);
    if id == "default" {
        faults.warn(
            entry.at(),
            "`default` is a webhook id like any other: it does not catch what others do not take",
        );
    }
    unavailable::check(entry, &[&OTHERS[..], &OF_THE_SOURCE, &gates()].concat(), &LATER, faults);
    Some(push_source(id, entry, drafts, faults))
}

/// Complains about bodies that the receiver as a whole does not take.
fn check_largest(entry: &Node, receiver: &Receiver, faults: &mut Faults) {
    let Some(own) = entry.get("max_body_bytes") else { return };
    // What is no number is complained about where the source is read.
    let bytes = own.parse::<usize>(&mut Faults::default());
    if bytes.is_some_and(|bytes| bytes > receiver.max_body_bytes) {
        let problem = format!("the receiver's `max_body_bytes` is smaller, {}", receiver.max_body_bytes);
        faults.add(own.at(), problem, Some("raise that, or lower this".to_owned()));
    }
}

/// Tells whether the receiver delivers the entry's webhooks itself.
fn is_direct(entry: &Node) -> bool {
    // A module that is left open stands for the one that most entries have.
    let keeps = |module: &Node| module.text().is_some_and(|name| name == "webhook_connect" || is_open(name));
    entry.get("chain").is_some() || entry.get("module").is_some_and(|module| !keeps(&module))
}

/// Adds the source and its gates, cheapest refusal first, and returns the name of the last.
fn push_source(id: &str, entry: &Node, drafts: &mut Vec<Draft>, faults: &mut Faults) -> String {
    let implied = |value| Node::new(value, entry.at().clone());
    let own = OF_THE_SOURCE.iter().filter_map(|key| Some((*key, entry.get(key)?)));
    let settings = own.fold(implied(json!({ "webhook": id })), |settings, (key, member)| {
        settings.with_member(key, &member)
    });
    let mut last = format!("{id}.receive");
    let mut push = |name: String, module: &str, settings: Node, from: Vec<From>| {
        drafts.push(Draft { name, module: module.to_owned(), settings, at: entry.at().clone(), from });
    };
    push(last.clone(), "receive", settings, Vec::new());
    let keyed = |names: &[&'static str]| -> Vec<(&str, Node)> {
        names.iter().filter_map(|auth| Some((*auth, entry.get(auth)?))).collect()
    };
    let (mut gates, asking) = (keyed(&PROOFS), keyed(&ASKING));
    warn_of_stripe(entry, faults);
    if gates.is_empty() && asking.is_empty() {
        if !LATER.iter().any(|key| entry.get(key).is_some()) {
            faults
                .warn(entry.at(), format!("no auth key: anybody who can reach it may post to /webhook/{id}"));
        }
        gates.push(("open", implied(json!({}))));
    }
    // Who asks proves nothing: it is answered before anything is asked of it.
    gates.splice(..0, keyed(&["handshake"]));
    // Behind the checks that cost little, so that strangers do not use it up.
    gates.extend(entry.get("rate_limit").map(|settings| ("rate_limit", settings)));
    let schema = entry.get("json_schema");
    let is_json = is_json(entry, faults);
    if is_json || schema.is_some() {
        gates.push(("well_formed", implied(json!({}))));
    }
    if let Some(schema) = schema {
        // Below this key, whatever begins with `_` stays.
        gates.push(("json_schema", implied(json!({})).with_member("json_schema", &schema)));
    }
    gates.extend(asking);
    if let Some(cleanup) = entry.get("credential_cleanup") {
        let json = Node::new(json!(is_json), cleanup.at().child("json"));
        let settings =
            if cleanup.get("json").is_some() { cleanup } else { cleanup.with_member("json", &json) };
        gates.push(("credential_cleanup", settings));
    }
    for (module, settings) in gates {
        let name = format!("{id}.{module}");
        push(name.clone(), module, settings, vec![From::out(std::mem::replace(&mut last, name))]);
    }
    last
}

/// Says what real Stripe sends, where settings expect a header that only imitations of it have.
fn warn_of_stripe(entry: &Node, faults: &mut Faults) {
    let header = entry.get("hmac").and_then(|hmac| hmac.get("header"));
    let Some(header) = header.filter(|header| header.text() == Some("X-Stripe-Signature")) else { return };
    let problem = "Stripe itself signs in another way and another header; for it, replace `hmac` with \
                   `\"signature\": {\"provider\": \"stripe\", \"secret\": ..}`";
    faults.warn(header.at(), problem);
}

fn is_json(entry: &Node, faults: &mut Faults) -> bool {
    match entry.get("data_type") {
        None => true,
        Some(data_type) => match data_type.text() {
            Some("json") => true,
            Some("blob") => false,
            Some(_) | None => {
                faults.add(data_type.at(), "expected `json` or `blob`", None);
                true
            }
        },
    }
}

/// Reads where an entry's webhooks go.
fn read_channel(
    id: &str,
    entry: &Node,
    receiver: &Receiver,
    faults: &mut Faults,
) -> Option<(String, Channel)> {
    if entry.get("module").is_none() {
        let help = "`\"module\": \"webhook_connect\"` keeps its webhooks for a connector".to_owned();
        faults.add(entry.at(), "`module` is missing", Some(help));
        return None;
    }
    for unused in OF_THE_CONNECTOR.iter().filter_map(|key| entry.get(key)) {
        faults.warn(unused.at(), "not used here: the connector's file says how a channel is delivered");
    }
    let Some(config) = entry.get("module-config").filter(Node::is_object) else {
        faults.add(&entry.at().child("module-config"), "expected an object with `channel`", None);
        return None;
    };
    let Some(name) = config.get("channel").and_then(|channel| channel.text().map(str::to_owned)) else {
        faults.add(&config.at().child("channel"), "expected the name of a channel", None);
        return None;
    };
    check_name("channel name", &name, &config.at().child("channel"), faults);
    let own_limits = own_limits(&config, receiver);
    let limits = read_limits(&own_limits, faults);
    let token = read_token(id, &config, receiver, faults)?;
    Some((name, Channel { at: entry.at().clone(), token, limits: limits?, own_limits, from: Vec::new() }))
}

/// Lays the entry's own limits over the receiver's.
fn own_limits(config: &Node, receiver: &Receiver) -> Node {
    let all = receiver.shown.limits.as_ref().map_or_else(|| json!({}), |limits| limits.value().clone());
    let own = config.members().filter(|(key, _)| !CHANNEL_KEYS.contains(key));
    own.fold(Node::new(all, config.at().clone()), |all, (key, member)| all.with_member(key, &member))
}

fn read_limits(own: &Node, faults: &mut Faults) -> Option<Limits> {
    let before = faults.len();
    let Some(limits) = own.parse::<Limits>(faults) else {
        // Nothing was said against a limit that is left open.
        return (faults.len() == before).then(Limits::default);
    };
    limits.check(own.at(), faults);
    Some(limits)
}

fn read_token(id: &str, config: &Node, receiver: &Receiver, faults: &mut Faults) -> Option<Node> {
    if let Some(token) = config.get("channel_token") {
        let secret: Secret = token.parse(faults)?;
        if secret.is_empty() {
            faults.add(token.at(), "the token is empty, so it would protect nothing", None);
            return None;
        }
        return Some(token);
    }
    let shared = receiver.shown.channel_token.as_ref().filter(|_| receiver.channel_token.is_some());
    if shared.is_none() {
        let help = "give `channel_token` here, or one for all channels: `channel_token` in receiver.json, \
                    WEBHOOK_CONNECT_CHANNEL_TOKEN or --channel-token";
        let problem = format!("no token protects the channel that `{id}` feeds");
        faults.add(config.at(), problem, Some(help.to_owned()));
    }
    // It stands in another document, so complaints about it point here.
    shared.map(|token| Node::new(token.value().clone(), config.at().clone()))
}

/// Lets an entry feed its channel, on whose token and limits all its entries must agree.
fn join(
    name: String,
    new: Channel,
    last: String,
    channels: &mut BTreeMap<String, Channel>,
    faults: &mut Faults,
) {
    let at = new.at.clone();
    let (token, limits) = (new.token.value().clone(), new.limits.clone());
    let channel = channels.entry(name.clone()).or_insert(new);
    if *channel.token.value() != token || channel.limits != limits {
        let problem = format!("another entry feeds the channel `{name}` with another token or other limits");
        faults.add(&at, problem, Some("entries that feed one channel must agree on both".to_owned()));
    }
    channel.from.push(From::out(last));
}

/// Adds the buffer and the outlet of a channel.
fn push_channel(name: &str, channel: Channel, receiver: &Receiver, drafts: &mut Vec<Draft>) {
    let Channel { at, token, own_limits, from, .. } = channel;
    let shared = shared_by_channel(name, &at, &own_limits);
    let buffer = push_buffer(name, &shared, receiver, from, drafts);
    drafts.push(Draft {
        name: name.to_owned(),
        module: "webhook_connect".to_owned(),
        settings: shared.with_member("token", &token),
        at,
        from: vec![From::out(buffer)],
    });
}

/// Returns the settings that all stages of a channel have.
pub(crate) fn shared_by_channel(name: &str, at: &Pointer, limits: &Node) -> Node {
    let named = Node::new(json!(name), limits.at().child("channel"));
    let settings = Node::new(json!({}), at.clone()).with_member("channel", &named);
    if limits.value() == &json!({}) { settings } else { settings.with_member("limits", limits) }
}

/// Adds the buffer of a channel and returns its name.
pub(crate) fn push_buffer(
    channel: &str,
    settings: &Node,
    receiver: &Receiver,
    from: Vec<From>,
    drafts: &mut Vec<Draft>,
) -> String {
    let at = settings.at().clone();
    let (module, settings) = match &receiver.buffer {
        Buffer::Embedded(path) => {
            let path = Node::new(json!(path.to_string_lossy()), at.child("path"));
            ("embedded", settings.clone().with_member("path", &path))
        }
        Buffer::Memory => ("memory", settings.clone()),
    };
    let name = format!("{channel}.buffer");
    drafts.push(Draft { name: name.clone(), module: module.to_owned(), settings, at, from });
    name
}
