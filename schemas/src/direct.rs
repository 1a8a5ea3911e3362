//! Direct mode: entries of `webhooks.json` that the receiver delivers itself.
//!
//! They have a buffer like any other and are committed before the answer. Their channel is `direct:ID`, which is no legal
//! channel name, so that no connector can subscribe to it.

use engine::config::{Faults, Node};
use engine::graph::draft::{Draft, From};
use serde_json::json;

use crate::connections::Connections;
use crate::receiver::Receiver;
use crate::route::{Routes, Spot, WINDOW};
use crate::webhooks::{push_buffer, shared_by_channel};

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
    let limits = limits(entry, receiver);
    let window = WINDOW.into_iter().filter_map(|key| Some((key, limits.get(key)?))).collect();
    let settings = shared_by_channel(&name, entry.at(), &limits);
    let buffer = push_buffer(&name, &settings, receiver, vec![From::out(last)], drafts);
    let mut routes = Routes { connections, window, drafts, faults };
    routes.add(&name, "direct", settings, entry.at(), From::out(buffer));
    let spot = Spot { name: &name, from: From::out(&name), at: entry.at() };
    routes.push_one(spot, entry, None);
}

/// Returns the receiver's limits as they are written, without a deadline that is too short. They stand in another document,
/// so complaints about them point to the entry.
fn limits(entry: &Node, receiver: &Receiver) -> Node {
    let written = receiver.shown.limits.as_ref().map_or_else(|| json!({}), |limits| limits.value().clone());
    let limits = Node::new(written, entry.at().clone());
    if receiver.limits.ack_timeout_seconds >= SHORTEST_ACK_TIMEOUT {
        return limits;
    }
    limits.with_member("ack_timeout_seconds", &Node::new(json!(SHORTEST_ACK_TIMEOUT), entry.at().clone()))
}
