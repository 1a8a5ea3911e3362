//! `connector.json`: which channels a connector takes and where their webhooks go.
//!
//! Two shapes: `cloud` with `routes`, and `channels` with a token and a destination each. Each channel becomes a source, a
//! retry and a destination.

use engine::config::{Faults, Lookup, Node, Pointer, as_written, suggest};
use engine::graph::draft::{Draft, From};
use serde_json::{Map, Value, json};

use crate::connections::Connections;
use crate::receiver::{Flags, set};
use crate::unavailable;
use crate::webhooks::check_name;

/// The keys at the top by which a document is known as a connector's.
pub(crate) const KEYS: &[&str] = &[
    "cloud",
    "routes",
    "channels",
    "cloud_url",
    "channel",
    "token",
    "protocol",
    "default_target",
    "targets",
    "webhooks_config",
    "connections_config",
    "connector_id",
    "reconnect",
    "tap",
];

/// What may stand at the top of either shape.
const KNOWN: [&str; 9] = [
    "cloud",
    "routes",
    "channels",
    "connections",
    "connector_id",
    "max_in_flight",
    "max_in_flight_bytes",
    "reconnect",
    "cloud_url",
];

/// What may stand at the top in other versions.
const LATER: [&str; 11] = [
    "protocol",
    "channel",
    "token",
    "default_target",
    "targets",
    "webhooks_config",
    "connections_config",
    "tap",
    "tls",
    "ca_cert",
    "proxy",
];

/// The settings at the top that every channel's source takes over.
pub(crate) const SHARED: [&str; 4] = ["connector_id", "max_in_flight", "max_in_flight_bytes", "reconnect"];

/// What a route may hold.
const ROUTE: [&str; 5] = ["module", "connection", "module-config", "retry", "token"];

/// What a route may hold in other versions.
const ROUTE_LATER: [&str; 5] = ["chain", "chain-config", "dead_letter", "by_webhook", "credential_cleanup"];

/// Where a channel's webhooks come from.
struct Origin {
    at: Pointer,
    channel: String,
    url: Node,
    token: Node,
}

/// The settings that may come from the environment, each with the pointer of its key. Of two names the later wins.
const VARIABLES: [(&str, &[&str]); 7] = [
    ("CONNECTOR_CLOUD_URL", &["cloud", "url"]),
    ("CLOUD_URL", &["cloud", "url"]),
    ("CONNECTOR_TOKEN", &["cloud", "token"]),
    ("CONNECTOR_ID", &["connector_id"]),
    ("CONNECTOR_RECONNECT_DELAY", &["reconnect", "initial_seconds"]),
    ("CONNECTOR_MAX_RECONNECT_DELAY", &["reconnect", "max_seconds"]),
    ("CONNECTOR_MAX_CONCURRENT_REQUESTS", &["max_in_flight"]),
];

/// Lays the environment and then the flags over what a file says. A variable that is set to nothing counts as not set; a
/// token or URL of a channel of its own stays, for it is more exact.
#[must_use]
pub fn overlay(root: &Node, environment: &dyn Lookup, flags: &Flags) -> Node {
    let mut all = root.value().clone();
    let set_to = |name| environment.get(name).filter(|text| !text.is_empty());
    let variables = VARIABLES.iter().filter_map(|(name, keys)| Some((*keys, set_to(name)?)));
    for (keys, text) in variables.chain(flags.iter().map(|(keys, text)| (*keys, text.clone()))) {
        if all.is_object() {
            set(&mut all, keys, text);
        }
    }
    Node::new(all, root.at().clone())
}

/// Desugars a `connector.json`. Every complaint is added to `faults`; what is returned is whole only when there is none.
pub fn read(root: &Node, connections: &Connections, faults: &mut Faults) -> Vec<Draft> {
    if !root.is_object() {
        faults.add(root.at(), "expected an object", None);
        return Vec::new();
    }
    unavailable::check(root, &KNOWN, &LATER, faults);
    let inline = root.get("connections").map(|inline| Connections::read(Some(&inline), faults));
    let connections = inline.as_ref().unwrap_or(connections);
    let mut drafts = Vec::new();
    match (root.get("channels"), root.get("routes")) {
        (Some(channels), None) => read_channels(root, &channels, connections, &mut drafts, faults),
        (None, Some(routes)) => read_routes(root, &routes, connections, &mut drafts, faults),
        (Some(_), Some(routes)) => {
            faults.add(routes.at(), "`routes` and `channels` say the same; keep one", None)
        }
        (None, None) => {
            faults.add(root.at(), "neither `routes` nor `channels` says where webhooks go", None);
        }
    }
    drafts
}

/// Makes the drafts of one channel without a file; `root` holds what stands at the top of one.
pub fn one_channel(
    (root, channel): (&Node, &str),
    destination: &str,
    url: &str,
    token: &str,
    faults: &mut Faults,
) -> Vec<Draft> {
    let origin = Origin {
        at: Pointer::root().child("channel"),
        channel: channel.to_owned(),
        url: Node::new(json!(url), Pointer::root().child("cloud_url")),
        token: Node::new(json!(token), Pointer::root().child("token")),
    };
    check_name("channel name", channel, &origin.at, faults);
    let route = Node::new(json!(destination), Pointer::root().child("destination"));
    let mut drafts = Vec::new();
    push(root, origin, &route, &Connections::read(None, faults), &mut drafts, faults);
    drafts
}

/// The shape with `cloud` and `routes`.
fn read_routes(
    root: &Node,
    routes: &Node,
    connections: &Connections,
    drafts: &mut Vec<Draft>,
    faults: &mut Faults,
) {
    let Some(cloud) = root.get("cloud").filter(Node::is_object) else {
        return faults.add(&root.at().child("cloud"), "expected an object with `url` and `token`", None);
    };
    unavailable::check(&cloud, &["url", "token", "channels"], &["protocol", "tls"], faults);
    check_channel_list(&cloud, routes, faults);
    let url = text_of(cloud.get("url"), &cloud.at().child("url"), "the receiver's URL", faults);
    let shared = text_of_some(cloud.get("token"), faults);
    for (channel, route) in routes.members() {
        check_name("channel name", channel, route.at(), faults);
        let token = match route.get("token") {
            Some(own) => text_of_some(Some(own), faults),
            None if cloud.get("token").is_some() => shared.clone(),
            None => text_of(None, &cloud.at().child("token"), "the channel's token", faults),
        };
        // What is missing was complained about.
        let absent = || Node::stand_in(cloud.at().clone());
        let (url, token) = (url.clone().unwrap_or_else(absent), token.unwrap_or_else(absent));
        let origin = Origin { at: route.at().clone(), channel: channel.to_owned(), url, token };
        push(root, origin, &route, connections, drafts, faults);
    }
}

/// `cloud.channels` must name the channels that have routes, and no others.
fn check_channel_list(cloud: &Node, routes: &Node, faults: &mut Faults) {
    let Some(list) = cloud.get("channels") else { return };
    let Some(listed) = list.parse::<Vec<String>>(faults) else { return };
    for (index, channel) in listed.iter().enumerate() {
        if routes.get(channel).is_none() {
            let names = routes.members().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
            let near = suggest(channel, names.iter().map(String::as_str));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            faults.add(&list.at().index(index), format!("the channel `{channel}` has no route"), help);
        }
    }
    for (channel, route) in routes.members() {
        if !listed.iter().any(|listed| listed == channel) {
            faults.warn(route.at(), format!("`{channel}` has a route and is not listed in `cloud.channels`"));
        }
    }
}

/// The shape with `channels`.
fn read_channels(
    root: &Node,
    channels: &Node,
    connections: &Connections,
    drafts: &mut Vec<Draft>,
    faults: &mut Faults,
) {
    let cloud = root.get("cloud");
    let url = cloud.as_ref().and_then(|cloud| cloud.get("url")).or_else(|| root.get("cloud_url"));
    let Some(url) = text_of(url, &root.at().child("cloud").child("url"), "the receiver's URL", faults) else {
        return;
    };
    for (channel, entry) in channels.members() {
        check_name("channel name", channel, entry.at(), faults);
        unavailable::check(&entry, &["token", "destination", "retry"], &["tap", "dead_letter"], faults);
        let token = entry.get("token").or_else(|| cloud.as_ref().and_then(|cloud| cloud.get("token")));
        let token = text_of(token, &entry.at().child("token"), "the channel's token", faults);
        let Some(destination) = entry.get("destination") else {
            faults.add(entry.at(), "`destination` is missing", None);
            continue;
        };
        if let Some(token) = token {
            let origin =
                Origin { at: entry.at().clone(), channel: channel.to_owned(), url: url.clone(), token };
            push(root, origin, &destination, connections, drafts, faults);
        }
    }
}

fn text_of_some(node: Option<Node>, faults: &mut Faults) -> Option<Node> {
    let at = node.as_ref()?.at().clone();
    text_of(node, &at, "the channel's token", faults)
}

fn text_of(node: Option<Node>, missing_at: &Pointer, what: &str, faults: &mut Faults) -> Option<Node> {
    match node {
        Some(node) if node.text().is_some_and(|text| !text.is_empty()) => Some(node),
        Some(node) => {
            faults.add(node.at(), format!("expected {what}"), None);
            None
        }
        None => {
            faults.add(missing_at, format!("{what} is missing"), None);
            None
        }
    }
}

/// Adds the source, the retry and the destination of one channel.
fn push(
    root: &Node,
    origin: Origin,
    route: &Node,
    connections: &Connections,
    drafts: &mut Vec<Draft>,
    faults: &mut Faults,
) {
    let Some((module, settings)) = destination(route, connections, faults) else { return };
    let Origin { at, channel, url, token } = origin;
    let mut source = json!({ "url": url.value(), "channel": channel, "token": token.value() });
    let shared: Vec<(&str, Node)> = SHARED.iter().filter_map(|key| Some((*key, root.get(key)?))).collect();
    for (key, shared) in &shared {
        source[*key] = shared.value().clone();
    }
    let source = Node::new(source, at.clone());
    let places = [("url", url), ("token", token)].into_iter().chain(shared);
    let source = places.fold(source, |source, (key, node)| source.with_member_at(key, node.at().clone()));
    let retry = retry(root, route);
    let (source_name, retry_name) = (format!("{channel}.subscribe"), format!("{channel}.retry"));
    let last = format!("{channel}.{module}");
    let route_at = route.at().clone();
    drafts.extend([
        Draft {
            name: source_name.clone(),
            module: "subscribe".to_owned(),
            settings: source,
            at: at.clone(),
            from: Vec::new(),
        },
        Draft {
            name: retry_name.clone(),
            module: "retry".to_owned(),
            settings: retry,
            at,
            from: vec![From::out(source_name)],
        },
        Draft { name: last, module, settings, at: route_at, from: vec![From::out(retry_name)] },
    ]);
}

/// Returns the settings of the retry, which knows the window that it may hold a part of.
fn retry(root: &Node, route: &Node) -> Node {
    let own = route.get("retry").unwrap_or_else(|| Node::new(json!({}), route.at().child("retry")));
    let mut settings = own.value().clone();
    let mut places = Vec::new();
    for key in ["max_in_flight", "max_in_flight_bytes"] {
        if let (Some(shared), Some(members)) = (root.get(key), settings.as_object_mut())
            && !members.contains_key(key)
        {
            members.insert(key.to_owned(), shared.value().clone());
            places.push((key, shared.at().clone()));
        }
    }
    let retry = Node::new(settings, own.at().clone());
    places.into_iter().fold(retry, |retry, (key, place)| retry.with_member_at(key, place))
}

/// Reads a destination: an object with `module`, or a URL.
fn destination(route: &Node, connections: &Connections, faults: &mut Faults) -> Option<(String, Node)> {
    if let Some(url) = route.text() {
        return from_url(url, route, faults);
    }
    if !route.is_object() {
        faults.add(route.at(), "expected an object with `module`, or a URL", None);
        return None;
    }
    unavailable::check(route, &ROUTE, &ROUTE_LATER, faults);
    let Some(module) = route.get("module") else {
        if route.get("chain").is_none() {
            faults.add(route.at(), "`module` is missing", None);
        }
        return None;
    };
    let Some(name) = module.text() else {
        faults.add(module.at(), "expected the name of a module", None);
        return None;
    };
    let config = route
        .get("module-config")
        .unwrap_or_else(|| Node::new(Value::Object(Map::new()), route.at().child("module-config")));
    let settings = connections.apply(route.get("connection").as_ref(), &config, faults)?;
    Some((name.to_owned(), settings))
}

fn from_url(url: &str, at: &Node, faults: &mut Faults) -> Option<(String, Node)> {
    let implied = |settings| Node::new(settings, at.at().clone()).with_member_at("url", at.at().clone());
    match as_written(url).split_once(':') {
        Some(("http" | "https", _)) => Some(("http_webhook".to_owned(), implied(json!({ "url": url })))),
        Some(("log", "")) => Some(("log".to_owned(), implied(json!({})))),
        Some(_) | None => {
            let help = "this version has `http://…`, `https://…` and `log:`".to_owned();
            faults.add(at.at(), "no destination has a URL like this", Some(help));
            None
        }
    }
}
