//! `chain` and `chain-config`: one webhook, several destinations.

use engine::config::Node;
use engine::graph::draft::From;
use serde_json::{Map, Value, json};

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
const CONFIG: [&str; 3] = ["execution", "continue_on_error", "timeout"];

/// The most items.
const MOST: usize = 20;

/// One item that was read.
struct Item {
    node: Node,
    destination: Destination,
    required: bool,
}

impl Routes<'_> {
    /// Adds the stage that sends each webhook to several destinations, and a retry and a destination for each.
    pub(crate) fn push_chain(&mut self, spot: Spot<'_>, route: &Node, beside: Option<&Node>) {
        let Some(chain) = route.get("chain") else { return };
        self.warn_of_unused(route, beside);
        let Some(items) = chain.value().as_array().filter(|items| (1..=MOST).contains(&items.len())) else {
            return self.faults.add(chain.at(), format!("expected a list of 1 to {MOST} destinations"), None);
        };
        let connection = self.inherited(route);
        let items: Vec<Option<Item>> = items
            .iter()
            .enumerate()
            .map(|(at, item)| {
                let item = Node::new(item.clone(), chain.at().index(at));
                self.item(&item, connection.as_ref(), route.get("module-config").as_ref())
            })
            .collect();
        // Each item that could not be read has its fault already.
        let Some(items) = items.into_iter().collect::<Option<Vec<Item>>>() else { return };
        let Spot { name, from, at } = spot;
        let chain_name = format!("{name}.chain");
        let settings = self.chain_settings(route, &chain, &items);
        self.add(&chain_name, "chain", settings, at, from);
        for (Item { node, destination, required }, number) in items.into_iter().zip(1..) {
            let (name, from) = (format!("{chain_name}.{number}"), From::link(&chain_name, number));
            let retry = item_retry(&node, required);
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
        let required = node.get("required").map_or(Some(true), |required| required.parse(self.faults));
        let own = node.get("connection");
        let takes = |connection: &&Node| {
            let name = connection.text().unwrap_or_default();
            is_for(self.connections.type_of(name).as_deref(), &module)
        };
        let connection = own.or_else(|| inherited.filter(takes).cloned());
        let config = under(&node, shared);
        let destination = self.destination(&node, connection.as_ref(), Some(config))?;
        // A fault of an item is told once, and no stage is made of it.
        let sound = self.faults.len() == before;
        Some(Item { node, destination, required: required? }).filter(|_| sound)
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
    fn chain_settings(&mut self, route: &Node, chain: &Node, items: &[Item]) -> Node {
        let config = route.get("chain-config");
        let at = config.as_ref().map_or(chain.at(), Node::at).clone();
        let mut settings = Map::new();
        if let Some(config) = &config {
            if !config.is_object() {
                self.faults.add(config.at(), "expected an object", None);
            }
            unavailable::refuse_unknown(config, &CONFIG, self.faults);
            let known = config.members().filter(|(key, _)| CONFIG.contains(key));
            settings.extend(known.map(|(key, member)| (key.to_owned(), member.value().clone())));
        }
        let link = |item: &Item| json!({ "name": item.destination.0, "required": item.required });
        settings.insert("links".to_owned(), items.iter().map(link).collect());
        self.in_window(&Node::new(Value::Object(settings), at))
    }
}

/// Returns the settings of an item's retry. What is best effort does not wait for an unreachable destination.
fn item_retry(item: &Node, required: bool) -> Node {
    let own = item.get("retry").unwrap_or_else(|| Node::new(json!({}), item.at().child("retry")));
    let mut value = own.value().clone();
    if let (false, Some(members)) = (required, value.as_object_mut()) {
        members.entry("wait_for_unreachable").or_insert(Value::Bool(false));
    }
    Node::new(value, own.at().clone())
}

/// Lays an item's `module-config` over the one that all items share.
fn under(item: &Node, shared: Option<&Node>) -> Node {
    let own =
        item.get("module-config").unwrap_or_else(|| Node::new(json!({}), item.at().child("module-config")));
    let Some(shared) = shared else { return own };
    let mut all = Map::new();
    for source in [shared, &own] {
        all.extend(source.members().map(|(key, member)| (key.to_owned(), member.value().clone())));
    }
    Node::new(Value::Object(all), own.at().clone())
}
