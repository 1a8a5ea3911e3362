//! Where webhooks go once somebody vouched for them: one destination, a chain of several, or a route per webhook id.
//!
//! The connector's formats and a receiver that delivers by itself describe this alike. A destination becomes a `retry` and
//! the destination's own stage; a `dead_letter` beside it takes what the retry gives up.

use engine::config::{Faults, Node, Pointer, as_written};
use engine::graph::draft::{Draft, From};
use serde_json::json;

use crate::connections::Connections;
use crate::names::{check_name, named};
use crate::unavailable;

/// What a route may hold.
pub(crate) const ROUTE: [&str; 10] = [
    "module",
    "connection",
    "module-config",
    "retry",
    "dead_letter",
    "chain",
    "chain-config",
    "by_webhook",
    "topic",
    "queue_name",
];

/// What an entry of a receiver's file may hold, and a route may not.
const CLEANUP: &str = "credential_cleanup";

/// What a `dead_letter` may hold.
const DEAD_LETTER: [&str; 3] = ["module", "connection", "module-config"];

/// Keys that older files have beside `module-config` and that belong into it.
pub(crate) const MISPLACED: [&str; 3] = ["topic", "queue_name", "destination"];

/// The keys of a window, which flow stages share with what feeds them.
pub(crate) const WINDOW: [&str; 2] = ["max_in_flight", "max_in_flight_bytes"];

/// A destination.
pub(crate) struct Destination {
    pub(crate) module: String,
    pub(crate) settings: Node,
    /// Where the document names it.
    pub(crate) at: Pointer,
}

/// Adds the stages of the routes of one document.
pub(crate) struct Routes<'a> {
    pub(crate) connections: &'a Connections,
    /// The window of what feeds the routes, as far as it is configured.
    pub(crate) window: Vec<(&'static str, Node)>,
    pub(crate) drafts: &'a mut Vec<Draft>,
    pub(crate) faults: &'a mut Faults,
}

/// Where a stage is to stand: what it is called before its own name, and what it takes webhooks from.
pub(crate) struct Spot<'a> {
    pub(crate) name: &'a str,
    pub(crate) from: From,
    /// Where the document implies it.
    pub(crate) at: &'a Pointer,
}

impl Routes<'_> {
    /// Adds what `route` describes. `beside` may hold the route's `retry` and `dead_letter` too.
    pub(crate) fn push(&mut self, spot: Spot<'_>, route: &Node, beside: Option<&Node>, known: &[&str]) {
        if let Some(url) = route.text() {
            let Some(destination) = from_url(url, route, self.faults) else { return };
            return self.push_destination(spot, destination, beside.as_slice());
        }
        if !route.is_object() {
            return self.faults.add(route.at(), "expected an object with `module`, or a URL", None);
        }
        if let Some(cleanup) = route.get(CLEANUP).filter(|_| !known.contains(&CLEANUP)) {
            let problem = "credentials are cleaned by the receiver, before it stores a webhook";
            let help = "give this to the webhook's entry in the receiver's file".to_owned();
            self.faults.add(cleanup.at(), problem, Some(help));
        }
        unavailable::check(route, &[&ROUTE[..], &[CLEANUP], known].concat(), &[], self.faults);
        match route.get("by_webhook") {
            Some(ways) => self.push_by_webhook(spot, route, &ways, beside),
            None => self.push_one(spot, route, beside),
        }
    }

    /// Adds a stage that sends each webhook the way of its id, and what stands behind it; the route itself takes the rest.
    fn push_by_webhook(&mut self, spot: Spot<'_>, route: &Node, ways: &Node, beside: Option<&Node>) {
        if !ways.is_object() {
            return self.faults.add(ways.at(), "expected an object with one route per webhook id", None);
        }
        let ways = named(ways, "webhook id", self.faults);
        let ids: Vec<String> = ways.iter().map(|(id, _)| id.clone()).collect();
        let otherwise = route.get("module").is_some() || route.get("chain").is_some();
        let Spot { name, at, .. } = spot;
        let fork = self.fork(spot, &ids, otherwise);
        for ((id, way), number) in ways.iter().zip(1..) {
            check_name("webhook id", id, way.at(), self.faults);
            if let Some(nested) = way.get("by_webhook") {
                self.faults.add(nested.at(), "this route is one of a webhook already", None);
            } else {
                let name = format!("{fork}.{id}");
                let spot = Spot { name: &name, from: From::link(&fork, number), at: way.at() };
                self.push(spot, way, None, &[]);
            }
        }
        if otherwise {
            let from = From::link(&fork, u16::try_from(ids.len() + 1).unwrap_or(u16::MAX));
            self.push_one(Spot { name, from, at }, route, beside);
        }
    }

    /// Adds the stage that tells webhooks apart by id and returns its name.
    pub(crate) fn fork(&mut self, spot: Spot<'_>, ids: &[String], otherwise: bool) -> String {
        let name = format!("{}.by_webhook", spot.name);
        let settings = Node::new(json!({ "webhooks": ids, "otherwise": otherwise }), spot.at.clone());
        self.add(&name, "by_webhook", settings, spot.at, spot.from);
        name
    }

    /// Adds a chain, or one destination.
    pub(crate) fn push_one(&mut self, spot: Spot<'_>, route: &Node, beside: Option<&Node>) {
        if route.get("chain").is_some() {
            return self.push_chain(spot, route, beside);
        }
        let config = route.get("module-config");
        let connection = route.get("connection");
        let Some(destination) = self.destination(route, connection.as_ref(), config) else { return };
        let holders: Vec<&Node> = [Some(route), beside].into_iter().flatten().collect();
        self.push_destination(spot, destination, &holders);
    }

    /// Adds a retry, the destination behind it, and what takes what the retry gives up. The first of `holders` that has a
    /// key counts.
    fn push_destination(&mut self, spot: Spot<'_>, destination: Destination, holders: &[&Node]) {
        let own = |key| holders.iter().find_map(|holder| holder.get(key));
        let retry = own("retry").unwrap_or_else(|| Node::new(json!({}), destination.at.child("retry")));
        self.push_delivery(spot, destination, &retry, own("dead_letter").as_ref());
    }

    /// Adds a retry with these settings, the destination behind it, and what takes what the retry gives up.
    pub(crate) fn push_delivery(
        &mut self,
        spot: Spot<'_>,
        Destination { module, settings, at: destination_at }: Destination,
        retry: &Node,
        dead_letter: Option<&Node>,
    ) {
        let Spot { name, from, at } = spot;
        let retry_name = format!("{name}.retry");
        let retry = self.in_window(retry);
        self.add(&retry_name, "retry", retry, at, from);
        self.add(&format!("{name}.{module}"), &module, settings, &destination_at, From::out(&retry_name));
        if let Some(dead_letter) = dead_letter {
            self.push_dead_letter(name, &retry_name, dead_letter);
        }
    }

    /// Adds the destination of what `stage` gives up.
    pub(crate) fn push_dead_letter(&mut self, name: &str, stage: &str, dead_letter: &Node) {
        if !dead_letter.is_object() {
            return self.faults.add(dead_letter.at(), "expected an object with `module`", None);
        }
        unavailable::refuse_unknown(dead_letter, &DEAD_LETTER, self.faults);
        let (connection, config) = (dead_letter.get("connection"), dead_letter.get("module-config"));
        let Some(Destination { module, settings, at }) =
            self.destination(dead_letter, connection.as_ref(), config)
        else {
            return;
        };
        let name = format!("{name}.dead_letter");
        self.add(&name, &module, settings, &at, From::exhausted(stage));
    }

    /// Reads `module` of `node`, with `config` laid over the connection.
    pub(crate) fn destination(
        &mut self,
        node: &Node,
        connection: Option<&Node>,
        config: Option<Node>,
    ) -> Option<Destination> {
        let Some(module) = node.get("module") else {
            self.faults.add(node.at(), "`module` is missing", None);
            return None;
        };
        let Some(name) = module.text() else {
            self.faults.add(module.at(), "expected the name of a module", None);
            return None;
        };
        let config = config.unwrap_or_else(|| Node::new(json!({}), node.at().child("module-config")));
        let config = move_in(node, config);
        let settings = self.connections.apply(connection, &config, self.faults)?;
        Some(Destination { module: name.to_owned(), settings, at: node.at().clone() })
    }

    /// Gives a flow stage the window of what feeds it.
    pub(crate) fn in_window(&self, settings: &Node) -> Node {
        let shared = self.window.iter().filter(|(key, _)| settings.get(key).is_none());
        shared.fold(settings.clone(), |settings, (key, shared)| settings.with_member(key, shared))
    }

    pub(crate) fn add(&mut self, name: &str, module: &str, settings: Node, at: &Pointer, from: From) {
        let (name, module) = (name.to_owned(), module.to_owned());
        self.drafts.push(Draft { name, module, settings, at: at.clone(), from: vec![from] });
    }
}

/// Moves keys that stand beside `module-config` into it, where they are not given.
fn move_in(node: &Node, config: Node) -> Node {
    let given = MISPLACED.iter().filter(|key| config.get(key).is_none());
    let misplaced: Vec<_> = given.filter_map(|key| Some((*key, node.get(key)?))).collect();
    let texts = misplaced.into_iter().filter(|(_, member)| member.text().is_some());
    texts.fold(config, |config, (key, member)| config.with_member(key, &member))
}

fn from_url(url: &str, at: &Node, faults: &mut Faults) -> Option<Destination> {
    let implied = |module: &str, settings: Node| {
        Some(Destination { module: module.to_owned(), settings, at: at.at().clone() })
    };
    let nothing = Node::new(json!({}), at.at().clone());
    match as_written(url).split_once(':') {
        Some(("http" | "https", _)) => implied("http_webhook", nothing.with_member("url", at)),
        Some(("log", "")) => implied("log", nothing),
        Some(_) | None => {
            let help = "this version has `http://…`, `https://…` and `log:`".to_owned();
            faults.add(at.at(), "no destination has a URL like this", Some(help));
            None
        }
    }
}
