//! The flat shape of `connector.json`, as the Python connector has it: one channel, and targets or a webhooks file.
//!
//! A target becomes an `http_webhook` that also sends the headers of the Python connector. Entries of a webhooks file
//! are routes by webhook id; what such a file says about senders is the receiver's business.

use engine::config::{Faults, Node};
use engine::graph::draft::From;
use serde_json::{Value, json};

use crate::names::named;
use crate::route::{Destination, Routes, Spot};
use crate::unavailable;
use crate::webhooks::{LATER, OF_THE_SOURCE, gates};

/// What a target may hold.
const TARGET: [&str; 8] = [
    "url",
    "method",
    "headers",
    "timeout_seconds",
    "retry_enabled",
    "retry_max_attempts",
    "retry_delay_seconds",
    "retry_backoff_multiplier",
];

/// The keys of a target that are settings of the destination, each with its name there.
pub(crate) const DESTINATION: [(&str, &str); 4] =
    [("url", "url"), ("method", "method"), ("headers", "headers"), ("timeout_seconds", "timeout")];

/// The keys of a target that are settings of the retry, each with its name there.
pub(crate) const RETRY: [(&str, &str); 4] = [
    ("retry_enabled", "enabled"),
    ("retry_max_attempts", "max_attempts"),
    ("retry_delay_seconds", "initial_delay"),
    ("retry_backoff_multiplier", "backoff_multiplier"),
];

/// What an entry of a webhooks file may hold that means nothing to a connector, beside its gates and the settings of its
/// source.
const OF_THE_RECEIVER: [&str; 2] = ["data_type", "token"];

/// The keys that say where webhooks go.
pub(crate) const MODES: [&str; 3] = ["default_target", "targets", "webhooks_config"];

impl Routes<'_> {
    /// Adds what the flat shape says about where webhooks go.
    pub(crate) fn push_flat(&mut self, spot: Spot<'_>, root: &Node) {
        let member = |key| root.get(key).filter(|node: &Node| !node.value().is_null());
        let (default, targets) = (member("default_target"), member("targets"));
        match (member("webhooks_config"), default.is_some() || targets.is_some()) {
            (Some(webhooks), false) => self.push_entries(spot, &webhooks),
            (None, true) => self.push_targets(spot, default.as_ref(), targets.as_ref()),
            (Some(webhooks), true) => {
                let problem = "`webhooks_config` and targets both say where webhooks go; keep one";
                self.faults.add(webhooks.at(), problem, None);
                self.push_targets(spot, default.as_ref(), targets.as_ref());
            }
            (None, false) => {
                let problem =
                    "nothing says where webhooks go: `default_target`, `targets` or `webhooks_config`";
                self.faults.add(root.at(), problem, None);
            }
        }
    }

    fn push_targets(&mut self, spot: Spot<'_>, default: Option<&Node>, targets: Option<&Node>) {
        let ways = targets.map(|targets| named(targets, "webhook id", self.faults)).unwrap_or_default();
        match (default, ways.is_empty()) {
            (Some(target), true) => self.push_target(spot, target),
            (None, true) => {
                if let Some(targets) = targets {
                    self.faults.add(targets.at(), "expected an object with one target per webhook id", None);
                }
            }
            (default, false) => {
                let ids: Vec<String> = ways.iter().map(|(id, _)| id.clone()).collect();
                let Spot { name, at, .. } = spot;
                let fork = self.fork(spot, &ids, default.is_some());
                for ((id, target), number) in ways.iter().zip(1..) {
                    let name = format!("{fork}.{id}");
                    let from = From::link(&fork, number);
                    self.push_target(Spot { name: &name, from, at: target.at() }, target);
                }
                if let Some(target) = default {
                    let from = From::link(&fork, u16::try_from(ids.len() + 1).unwrap_or(u16::MAX));
                    self.push_target(Spot { name, from, at }, target);
                }
            }
        }
    }

    fn push_target(&mut self, spot: Spot<'_>, target: &Node) {
        if !target.is_object() {
            return self.faults.add(target.at(), "expected an object with `url`", None);
        }
        unavailable::refuse_unknown(target, &TARGET, self.faults);
        let part = |names: &[(&'static str, &'static str)]| {
            let named: Vec<_> =
                names.iter().filter_map(|(key, name)| Some((*name, target.get(key)?))).collect();
            let nothing = Node::new(json!({}), target.at().clone());
            named.into_iter().fold(nothing, |part, (name, member)| part.with_member(name, &member))
        };
        let original_headers = Node::new(Value::Bool(true), target.at().clone());
        let settings = part(&DESTINATION).with_member("original_headers", &original_headers);
        let destination =
            Destination { module: "http_webhook".to_owned(), settings, at: target.at().clone() };
        self.push_delivery(spot, destination, &part(&RETRY), None);
    }

    /// Adds the entries of a webhooks file, which the caller put in place of its name.
    fn push_entries(&mut self, spot: Spot<'_>, webhooks: &Node) {
        if !webhooks.is_object() || webhooks.members().next().is_none() {
            let problem = "expected the name of a file with one entry per webhook id";
            return self.faults.add(webhooks.at(), problem, None);
        }
        let known = [&OF_THE_RECEIVER[..], &OF_THE_SOURCE, &gates(), &LATER].concat();
        let entries = named(webhooks, "webhook id", self.faults);
        let ids: Vec<String> = entries.iter().map(|(id, _)| id.clone()).collect();
        let fork = self.fork(spot, &ids, false);
        for ((id, entry), number) in entries.iter().zip(1..) {
            let name = format!("{fork}.{id}");
            let spot = Spot { name: &name, from: From::link(&fork, number), at: entry.at() };
            self.push(spot, entry, None, &known);
        }
    }
}

/// Keys of the flat shape that set what is not to be set here.
const WITHOUT_EFFECT: [&str; 6] = [
    "reconnect_backoff_multiplier",
    "heartbeat_timeout",
    "connection_timeout",
    "ack_timeout",
    "log_level",
    "log_format",
];

/// Warns about keys that are understood and have no effect.
pub(crate) fn warn_of_no_effect(root: &Node, faults: &mut Faults) {
    for (key, member) in root.members().filter(|(key, _)| WITHOUT_EFFECT.contains(key)) {
        faults.warn(member.at(), format!("`{key}` has no effect here"));
    }
}

/// Settings of the source that have other names in the flat shape: that name, and the way to the setting.
pub(crate) const RENAMED: [(&str, &[&str]); 6] = [
    ("reconnect_delay", &["reconnect", "initial_seconds"]),
    ("max_reconnect_delay", &["reconnect", "max_seconds"]),
    ("max_concurrent_requests", &["max_in_flight"]),
    ("ca_cert_path", &["tls", "ca"]),
    ("client_cert_path", &["tls", "cert"]),
    ("client_key_path", &["tls", "key"]),
];

/// Lays the flat shape's names for settings of the source over `source`.
pub(crate) fn rename(root: &Node, source: Node) -> Node {
    let given = |key: &str| root.get(key).filter(|node| !node.value().is_null());
    let named = RENAMED.iter().filter_map(|(key, way)| Some((*way, given(key)?)));
    named.fold(source, |source, (way, value)| set(source, way, &value))
}

/// Gives `settings` a value at the end of this way.
fn set(settings: Node, way: &[&str], value: &Node) -> Node {
    let [key, rest @ ..] = way else { return value.clone() };
    let inner = settings.get(key).unwrap_or_else(|| Node::new(json!({}), settings.at().child(key)));
    settings.with_member(key, &set(inner, rest, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::config::Pointer;

    #[test]
    fn settings_of_the_source_have_other_names_there() {
        let root = json!({ "reconnect_delay": 2, "max_reconnect_delay": null, "max_concurrent_requests": 5 });
        let source = Node::new(json!({ "channel": "c" }), Pointer::root().child("source"));
        let source = rename(&Node::new(root, Pointer::root()), source);
        let wanted = json!({ "channel": "c", "reconnect": { "initial_seconds": 2 }, "max_in_flight": 5 });
        assert_eq!(source.value(), &wanted);
        let initial = source.at().child("reconnect").child("initial_seconds");
        assert_eq!(source.place_of(&initial), Some(Pointer::root().child("reconnect_delay")));
    }
}
