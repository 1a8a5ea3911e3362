//! `connector.json`: which channels a connector takes and where their webhooks go.
//!
//! Three shapes: `cloud` with `routes`; `channels` with a token and a destination each; and the flat one of the Python
//! connector. Each channel becomes a source and what its route describes.

use engine::config::{Faults, Lookup, Node, Pointer, is_open, suggest};
use engine::graph::draft::{Draft, From};
use serde_json::json;

use crate::connections::Connections;
use crate::flat::{self, MODES};
use crate::link;
use crate::names::{check_name, named};
use crate::receiver::{Flags, set};
use crate::route::{Routes, Spot, WINDOW};
use crate::unavailable;

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

/// What may stand at the top of every shape.
const KNOWN: [&str; 31] = [
    "cloud",
    "routes",
    "channels",
    "connections",
    "connector_id",
    "max_in_flight",
    "max_in_flight_bytes",
    "reconnect",
    "cloud_url",
    "channel",
    "token",
    "default_target",
    "targets",
    "webhooks_config",
    "connections_config",
    "reconnect_delay",
    "max_reconnect_delay",
    "reconnect_backoff_multiplier",
    "heartbeat_timeout",
    "connection_timeout",
    "max_concurrent_requests",
    "ack_timeout",
    "log_level",
    "log_format",
    "protocol",
    "tls",
    "ca_cert_path",
    "client_cert_path",
    "client_key_path",
    "verify_ssl",
    "tap",
];

/// What may stand at the top in other versions.
const LATER: [&str; 5] = ["ca_cert", "proxy", "etcd_host", "etcd_port", "etcd_prefix"];

/// The settings at the top that every channel's source takes over.
pub(crate) const SHARED: [&str; 7] =
    ["connector_id", "max_in_flight", "max_in_flight_bytes", "reconnect", "protocol", "tls", TAP];

/// The setting of a channel's source that a channel may have of its own.
pub(crate) const TAP: &str = "tap";

/// What a route of a channel may hold beside what every route may hold.
const OF_A_CHANNEL: [&str; 2] = ["token", TAP];

/// A text that a channel needs.
#[derive(Clone, Copy)]
struct Wanted {
    what: &'static str,
    /// Where it may be said.
    help: &'static str,
}

const URL: Wanted =
    Wanted { what: "the receiver's URL", help: "give it here, or set CLOUD_URL, or start with --cloud-url" };

const TOKEN: Wanted = Wanted {
    what: "the channel's token",
    help: "give it here, or set CONNECTOR_TOKEN, or start with --token",
};

const CHANNEL: Wanted = Wanted { what: "the channel's name", help: "give it here" };

/// Where a channel's webhooks go.
#[derive(Clone, Copy)]
enum Behind<'a> {
    /// To this route; the other object may hold its `retry` and `dead_letter`.
    Route(&'a Node, Option<&'a Node>),
    /// Where the flat shape says.
    Flat,
}

/// What all channels of one document share.
struct Document<'a> {
    connections: &'a Connections,
    drafts: &'a mut Vec<Draft>,
    faults: &'a mut Faults,
}

/// Where a channel's webhooks come from.
struct Origin {
    at: Pointer,
    channel: String,
    url: Node,
    token: Node,
    /// Whether it is a tap, where the channel says so itself.
    tap: Option<Node>,
}

/// The settings that may come from the environment, each with the pointer of its key. Of two names the later wins.
const VARIABLES: [(&str, &[&str]); 11] = [
    ("CONNECTOR_CLOUD_URL", &["cloud", "url"]),
    ("CLOUD_URL", &["cloud", "url"]),
    ("CONNECTOR_TOKEN", &["cloud", "token"]),
    ("CONNECTOR_ID", &["connector_id"]),
    ("CONNECTOR_RECONNECT_DELAY", &["reconnect", "initial_seconds"]),
    ("CONNECTOR_MAX_RECONNECT_DELAY", &["reconnect", "max_seconds"]),
    ("CONNECTOR_MAX_CONCURRENT_REQUESTS", &["max_in_flight"]),
    ("CONNECTOR_PROTOCOL", &["protocol"]),
    ("CONNECTOR_CA_CERT_PATH", &["tls", "ca"]),
    ("CONNECTOR_CLIENT_CERT_PATH", &["tls", "cert"]),
    ("CONNECTOR_CLIENT_KEY_PATH", &["tls", "key"]),
];

/// Keys of the flat shape that say what others say elsewhere, each with the way to that.
const FLAT: [(&str, &[&str]); 2] = [("cloud_url", &["cloud", "url"]), ("token", &["cloud", "token"])];

/// Lays the environment and then the flags over what a file says. A variable that is set to nothing counts as not set; a
/// token or URL of a channel of its own stays, for it is more exact.
#[must_use]
pub fn overlay(root: &Node, environment: &dyn Lookup, flags: &Flags) -> Node {
    let mut all = root.value().clone();
    let set_to = |name| environment.get(name).filter(|text| !text.is_empty());
    let variables = VARIABLES.iter().filter_map(|(name, keys)| Some((*keys, set_to(name)?)));
    for (keys, text) in variables.chain(flags.iter().map(|(keys, text)| (*keys, text.clone()))) {
        if all.is_object() {
            let flat = flat_key(root, keys);
            set(&mut all, flat.as_ref().map_or(keys, std::slice::from_ref), text);
        }
    }
    root.with_value(all)
}

/// Returns the key that says in this file what stands at `keys` in others, if it is another one.
fn flat_key(root: &Node, keys: &[&str]) -> Option<&'static str> {
    let shape = FLAT.iter().filter(|_| is_flat(root));
    let renamed = flat::RENAMED.iter().filter(|(key, _)| root.get(key).is_some());
    shape.chain(renamed).find(|(_, way)| *way == keys).map(|(key, _)| *key)
}

/// Tells whether a file has the flat shape.
fn is_flat(root: &Node) -> bool {
    let has = |key: &str| root.get(key).is_some();
    !has("channels") && !has("routes") && (MODES.iter().any(|key| has(key)) || has("channel"))
}

/// Desugars a `connector.json`. Every complaint is added to `faults`; what is returned is whole only when there is none.
pub fn read(root: &Node, connections: &Connections, faults: &mut Faults) -> Vec<Draft> {
    if !root.is_object() {
        faults.add(root.at(), "expected an object", None);
        return Vec::new();
    }
    unavailable::check(root, &KNOWN, &LATER, faults);
    flat::warn_of_no_effect(root, faults);
    link::check(root, faults);
    let inline = root.get("connections").map(|inline| Connections::read(Some(&inline), faults));
    let connections = inline.as_ref().unwrap_or(connections);
    let mut drafts = Vec::new();
    match (root.get("channels"), root.get("routes")) {
        (None, None) if is_flat(root) => read_flat(root, connections, &mut drafts, faults),
        (Some(channels), None) => read_channels(root, &channels, connections, &mut drafts, faults),
        (None, Some(routes)) => read_routes(root, &routes, connections, &mut drafts, faults),
        (Some(_), Some(routes)) => {
            faults.add(routes.at(), "`routes` and `channels` say the same; keep one", None)
        }
        (None, None) => {
            let help = "give each channel a route: `\"routes\": {\"CHANNEL\": {\"module\": ...}}`".to_owned();
            faults.add(root.at(), "neither `routes` nor `channels` says where webhooks go", Some(help));
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
        tap: None,
    };
    check_name("channel name", channel, &origin.at, faults);
    let route = Node::new(json!(destination), Pointer::root().child("destination"));
    let mut drafts = Vec::new();
    let connections = Connections::read(None, faults);
    let document = Document { connections: &connections, drafts: &mut drafts, faults };
    push(root, origin, Behind::Route(&route, None), document);
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
        let help = "give them here, or set CLOUD_URL and CONNECTOR_TOKEN".to_owned();
        return faults.add(
            &root.at().child("cloud"),
            "expected an object with `url` and `token`",
            Some(help),
        );
    };
    unavailable::check(&cloud, &["url", "token", "channels"], &["protocol", "tls"], faults);
    check_channel_list(&cloud, routes, faults);
    refuse_none(routes, faults);
    let url = text_of(cloud.get("url"), &cloud.at().child("url"), URL, faults);
    let shared = text_of_some(cloud.get("token"), faults);
    for (channel, route) in named(routes, "channel name", faults) {
        check_name("channel name", &channel, route.at(), faults);
        let token = match route.get("token") {
            Some(own) => text_of_some(Some(own), faults),
            None if cloud.get("token").is_some() => shared.clone(),
            None => text_of(None, &cloud.at().child("token"), TOKEN, faults),
        };
        // What is missing was complained about.
        let absent = || Node::stand_in(cloud.at().clone());
        let (url, token) = (url.clone().unwrap_or_else(absent), token.unwrap_or_else(absent));
        let tap = route.get(TAP);
        let origin = Origin { at: route.at().clone(), channel, url, token, tap };
        push(root, origin, Behind::Route(&route, None), Document { connections, drafts, faults });
    }
}

/// A connector without a channel would run and do nothing.
fn refuse_none(channels: &Node, faults: &mut Faults) {
    if !channels.is_object() {
        faults.add(channels.at(), "expected an object with one member per channel", None);
    } else if channels.members().next().is_none() {
        faults.add(channels.at(), "there is no channel, so nothing would be delivered", None);
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
    let url = text_of(url, &root.at().child("cloud").child("url"), URL, faults);
    // What is missing was complained about.
    let url = url.unwrap_or_else(|| Node::stand_in(root.at().clone()));
    refuse_none(channels, faults);
    for (channel, entry) in named(channels, "channel name", faults) {
        check_name("channel name", &channel, entry.at(), faults);
        unavailable::check(&entry, &["token", "destination", "retry", "dead_letter", TAP], &[], faults);
        let token = entry.get("token").or_else(|| cloud.as_ref().and_then(|cloud| cloud.get("token")));
        let token = text_of(token, &entry.at().child("token"), TOKEN, faults);
        let Some(destination) = entry.get("destination") else {
            faults.add(entry.at(), "`destination` is missing", None);
            continue;
        };
        if let Some(token) = token {
            let (at, url, tap) = (entry.at().clone(), url.clone(), entry.get(TAP));
            let origin = Origin { at, channel, url, token, tap };
            let behind = Behind::Route(&destination, Some(&entry));
            push(root, origin, behind, Document { connections, drafts, faults });
        }
    }
}

/// The flat shape: one channel.
fn read_flat(root: &Node, connections: &Connections, drafts: &mut Vec<Draft>, faults: &mut Faults) {
    let mut text = |key, wanted| text_of(root.get(key), &root.at().child(key), wanted, faults);
    let url = text("cloud_url", URL);
    let token = text("token", TOKEN);
    let channel = text("channel", CHANNEL);
    // What is missing was complained about.
    let absent = || Node::stand_in(root.at().clone());
    let channel = channel.unwrap_or_else(absent);
    let channel = channel.text().unwrap_or_default().to_owned();
    if !is_open(&channel) {
        check_name("channel name", &channel, &root.at().child("channel"), faults);
    }
    let (url, token) = (url.unwrap_or_else(absent), token.unwrap_or_else(absent));
    let origin = Origin { at: root.at().clone(), channel, url, token, tap: None };
    push(root, origin, Behind::Flat, Document { connections, drafts, faults });
}

fn text_of_some(node: Option<Node>, faults: &mut Faults) -> Option<Node> {
    let at = node.as_ref()?.at().clone();
    text_of(node, &at, TOKEN, faults)
}

fn text_of(node: Option<Node>, missing_at: &Pointer, wanted: Wanted, faults: &mut Faults) -> Option<Node> {
    let Wanted { what, help } = wanted;
    match node {
        Some(node) if node.text().is_some_and(|text| !text.is_empty()) => Some(node),
        Some(node) => {
            faults.add(node.at(), format!("expected {what}"), None);
            None
        }
        None => {
            faults.add(missing_at, format!("{what} is missing"), Some(help.to_owned()));
            None
        }
    }
}

/// Adds the source of one channel and everything behind it.
fn push(root: &Node, origin: Origin, behind: Behind<'_>, document: Document<'_>) {
    let Origin { at, channel, url, token, tap } = origin;
    let source = Node::new(json!({}), at.clone())
        .with_member("url", &url)
        .with_member("channel", &Node::new(json!(channel), at.child("channel")))
        .with_member("token", &token);
    let shared = SHARED.iter().filter_map(|key| Some((*key, root.get(key)?)));
    let source = shared.fold(source, |source, (key, shared)| source.with_member(key, &shared));
    let source = flat::rename(root, source);
    let source = tap.iter().fold(source, |source, tap| source.with_member(TAP, tap));
    let Document { connections, drafts, faults } = document;
    let window = WINDOW.into_iter().filter_map(|key| Some((key, source.get(key)?))).collect();
    let name = format!("{channel}.subscribe");
    drafts.push(Draft {
        name: name.clone(),
        module: "subscribe".to_owned(),
        settings: source,
        at: at.clone(),
        from: Vec::new(),
    });
    let mut routes = Routes { connections, window, drafts, faults };
    let spot = Spot { name: &channel, from: From::out(name), at: &at };
    match behind {
        Behind::Route(route, beside) => routes.push(spot, route, beside, &OF_A_CHANNEL),
        Behind::Flat => routes.push_flat(spot, root),
    }
}
