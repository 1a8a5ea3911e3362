//! Direct mode: entries of `webhooks.json` that the receiver delivers itself.
//!
//! They have a buffer like any other and are committed before the answer. Their channel is `direct:ID`, which is no legal
//! channel name, so that no connector can subscribe to it.

use engine::config::{Faults, Node};
use engine::graph::draft::{Draft, From};
use serde_json::{Map, Value, json};

use crate::connections::Connections;
use crate::receiver::Receiver;
use crate::route::{Routes, Spot, WINDOW};
use crate::webhooks::push_buffer;

/// Flow stages give a sign of progress every 5 s; a shorter deadline would deliver everything twice.
const SHORTEST_ACK_TIMEOUT: u64 = 15;

/// Adds the buffer of an entry, what hands its webhooks on, and the entry's destinations. `last` is its last gate.
pub(crate) fn push(
    id: &str,
    entry: &Node,
    last: String,
    receiver: &Receiver,
    connections: &Connections,
    (drafts, faults): (&mut Vec<Draft>, &mut Faults),
) {
    let name = format!("direct:{id}");
    let mut limits = receiver.limits.clone();
    limits.ack_timeout_seconds = limits.ack_timeout_seconds.max(SHORTEST_ACK_TIMEOUT);
    let limits = serde_json::to_value(&limits).unwrap_or(Value::Null);
    let window: Map<String, Value> =
        WINDOW.into_iter().map(|key| (key.to_owned(), limits[key].clone())).collect();
    let buffer = push_buffer(&name, entry.at(), &limits, receiver, vec![From::out(last)], drafts);
    let settings = Node::new(json!({ "channel": name, "limits": limits }), entry.at().clone());
    let mut routes = Routes { connections, window, drafts, faults };
    routes.add(&name, "direct", settings, entry.at(), From::out(buffer));
    let spot = Spot { name: &name, from: From::out(&name), at: entry.at() };
    routes.push_one(spot, entry, None);
}
