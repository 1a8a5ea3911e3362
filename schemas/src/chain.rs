//! `chain` and `chain-config`: one webhook, several destinations.

use engine::config::{Node, is_open};
use engine::graph::draft::From;
use serde_json::{Value, json};

use crate::connections::is_for;
use crate::route::{Destination, MISPLACED, Routes, Spot};
use crate::unavailable;

/// What an item may hold.
const ITEM: [&str; 9] = [
    "module",
    "connection",
    "module-config",
    "retry",
    "required",
    "dead_letter",
    "topic",
    "queue_name",
    "destination",
];

/// What `chain-config` may hold.
pub(crate) const CONFIG: [&str; 3] = ["execution", "continue_on_error", "timeout"];

/// The most items.
pub(crate) const MOST: usize = 20;

/// One item that was read.
struct Item {
    node: Node,
    destination: Destination,
}

impl Routes<'_> {
    /// Adds the stage that sends each webhook to several destinations, and a retry and a destination for each.
    pub(crate) fn push_chain(&mut self, spot: Spot<'_>, route: &Node, beside: Option<&Node>) {
        let Some(chain) = route.get("chain") else { return };
        self.warn_of_unused(route, beside);
        let items: Vec<Node> = chain.items().into_iter().flatten().collect();
        if !(1..=MOST).contains(&items.len()) {
            return self.faults.add(chain.at(), format!("expected a list of 1 to {MOST} destinations"), None);
        }
        let connection = self.inherited(route);
        let shared = route.get("module-config");
        let items: Vec<Option<Item>> =
            items.iter().map(|item| self.item(item, connection.as_ref(), shared.as_ref())).collect();
        let Spot { name, from, at } = spot;
        let chain_name = format!("{name}.chain");
        let settings = self.chain_settings(route, &chain, &items);
        self.add(&chain_name, "chain", settings, at, from);
        for (item, number) in items.into_iter().zip(1..) {
            // An item that could not be read has its fault already; the others are judged all the same.
            let Some(Item { node, destination }) = item else { continue };
            let (name, from) = (format!("{chain_name}.{number}"), From::link(&chain_name, number));
            let retry = item_retry(&node);
            let spot = Spot { name: &name, from, at: node.at() };
            self.push_delivery(spot, destination, &retry, node.get("dead_letter").as_ref());
        }
        let dead_letter = [Some(route), beside].into_iter().flatten().find_map(|one| one.get("dead_letter"));
        if let Some(dead_letter) = dead_letter {
            self.push_dead_letter(name, &chain_name, &dead_letter);
        }
    }

    fn warn_of_unused(&mut self, route: &Node, beside: Option<&Node>) {
        if let Some(module) = route.get("module") {
            self.faults.warn(module.at(), "`module` is not used where there is a `chain`");
        }
        for retry in [Some(route), beside].into_iter().flatten().filter_map(|one| one.get("retry")) {
            self.faults
                .warn(retry.at(), "`retry` is not used beside a `chain`; give it to the chain's items");
        }
    }

    /// Returns the connection that items take over which name none. One that nobody knows is one fault.
    fn inherited(&mut self, route: &Node) -> Option<Node> {
        let connection = route.get("connection")?;
        let known =
            self.connections.apply(Some(&connection), &Node::new(json!({}), route.at().clone()), self.faults);
        known.map(|_| connection)
    }

    fn item(&mut self, item: &Node, inherited: Option<&Node>, shared: Option<&Node>) -> Option<Item> {
        let node = match item.text() {
            Some(module) => Node::new(json!({ "module": module }), item.at().clone()),
            None if item.is_object() => item.clone(),
            None => {
                self.faults.add(item.at(), "expected a module's name or an object with `module`", None);
                return None;
            }
        };
        let before = self.faults.len();
        unavailable::refuse_unknown(&node, &ITEM, self.faults);
        self.refuse_twice(&node);
        let module =
            node.get("module").and_then(|module| module.text().map(str::to_owned)).unwrap_or_default();
        if module == "webhook_connect" {
            let problem = "`webhook_connect` cannot stand in a chain";
            self.faults.add(item.at(), problem, Some("give it an entry of its own".to_owned()));
        }
        let required = node.get("required").map_or(Some(true), |required| self.truth(&required));
        let own = node.get("connection");
        let takes = |connection: &&Node| {
            let name = connection.text().unwrap_or_default();
            is_for(self.connections.type_of(name).as_deref(), &module)
        };
        let connection = own.or_else(|| inherited.filter(takes).cloned());
        let own_config = node.get("module-config");
        let own_config = own_config.unwrap_or_else(|| Node::new(json!({}), node.at().child("module-config")));
        let config = shared.map_or_else(|| own_config.clone(), |shared| own_config.laid_over(shared));
        let destination = self.destination(&node, connection.as_ref(), Some(config))?;
        // A fault of an item is told once, and no stage is made of it.
        let sound = self.faults.len() == before && required.is_some();
        sound.then_some(Item { node, destination })
    }

    /// Reads true or false; a text that is left open may be either.
    fn truth(&mut self, node: &Node) -> Option<bool> {
        if node.text().is_some_and(is_open) { Some(true) } else { node.parse(self.faults) }
    }

    /// A key that older files have beside `module-config` must not stand in both places.
    fn refuse_twice(&mut self, item: &Node) {
        let Some(config) = item.get("module-config") else { return };
        for misplaced in MISPLACED.into_iter().filter_map(|key| Some((key, item.get(key)?))) {
            let (key, node) = misplaced;
            if config.get(key).is_some() {
                self.faults.add(node.at(), format!("`{key}` stands in `module-config` too"), None);
            }
        }
    }

    /// Returns the settings of the chain itself.
    fn chain_settings(&mut self, route: &Node, chain: &Node, items: &[Option<Item>]) -> Node {
        let config = route.get("chain-config");
        let mut settings = Node::new(json!({}), config.as_ref().map_or(chain.at(), Node::at).clone());
        if let Some(config) = &config {
            if !config.is_object() {
                self.faults.add(config.at(), "expected an object", None);
            }
            unavailable::refuse_unknown(config, &CONFIG, self.faults);
            let known = config.members().filter(|(key, _)| CONFIG.contains(key));
            settings = known.fold(settings, |settings, (key, member)| settings.with_member(key, &member));
        }
        let links = items.iter().map(link).collect();
        self.in_window(&settings.with_member("links", &Node::new(links, chain.at().clone())))
    }
}

/// Returns what the chain knows of an item.
fn link(item: &Option<Item>) -> Value {
    // What could not be read was complained about, and nothing is said against what stands for it.
    let Some(Item { node, destination }) = item else { return json!({ "name": "" }) };
    let required = node.get("required").map_or(Value::Bool(true), |required| required.value().clone());
    json!({ "name": destination.module, "required": required })
}

/// Returns the settings of an item's retry. What is best effort does not wait for an unreachable destination.
fn item_retry(item: &Node) -> Node {
    let own = item.get("retry").unwrap_or_else(|| Node::new(json!({}), item.at().child("retry")));
    match item.get("required").filter(|required| *required.value() != Value::Bool(true)) {
        // It is the very value, for it may be a variable.
        Some(required) if own.get("wait_for_unreachable").is_none() => {
            own.with_member("wait_for_unreachable", &required)
        }
        Some(_) | None => own,
    }
}
