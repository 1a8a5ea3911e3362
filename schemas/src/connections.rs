//! `connections.json`: settings that several destinations share, by name.

use engine::config::{Faults, Node, Pointer, suggest};
use serde_json::json;

use crate::names::named;

/// Named connections.
#[derive(Clone, Debug)]
pub struct Connections(Option<Node>);

impl Connections {
    /// Reads a `connections.json`; none when there is no such file.
    pub fn read(root: Option<&Node>, faults: &mut Faults) -> Self {
        let all = root.map(|root| named(root, "connection name", faults)).unwrap_or_default();
        for (_, connection) in all {
            if !connection.is_object() {
                faults.add(connection.at(), "expected an object", None);
            }
        }
        if let Some(root) = root.filter(|root| !root.is_object()) {
            faults.add(root.at(), "expected an object with one member per connection", None);
        }
        Self(root.cloned())
    }

    /// Tells whether the connections stand in the document that names them.
    fn is_inline(&self) -> bool {
        self.0.as_ref().is_some_and(|root| *root.at() != Pointer::root())
    }

    /// Returns what a connection says it is for.
    pub(crate) fn type_of(&self, name: &str) -> Option<String> {
        self.0.as_ref()?.get(name)?.get("type")?.text().map(str::to_owned)
    }

    /// Lays `config` over the connection that `name` names: what stands in `config` wins. The connection's `type` only
    /// says what it is for and is left out.
    pub fn apply(&self, name: Option<&Node>, config: &Node, faults: &mut Faults) -> Option<Node> {
        let Some(name) = name else { return Some(config.clone()) };
        let known = self.0.as_ref();
        let wanted = name.text().unwrap_or_default();
        let Some(connection) = known.and_then(|known| known.get(wanted)) else {
            let names: Vec<String> =
                known.into_iter().flat_map(|known| known.members().map(|(key, _)| key.to_owned())).collect();
            let near = suggest(wanted, names.iter().map(String::as_str));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            faults.add(name.at(), format!("no connection is called `{wanted}`"), help);
            return None;
        };
        let nothing = Node::new(json!({}), connection.at().clone());
        let shared =
            connection.members().filter(|(key, _)| *key != "type").fold(nothing, |all, (key, member)| {
                // Complaints about what stands in another document point to the name.
                let member = if self.is_inline() { member } else { member.named_at(name.at().clone()) };
                all.with_member(key, &member)
            });
        Some(config.laid_over(&shared))
    }
}

/// Destinations that have nothing to connect to.
const WITHOUT: [&str; 2] = ["log", "save_to_disk"];

/// Types whose name is not that of their module.
const OTHER_NAMES: [(&str, &[&str]); 5] = [
    ("postgres", &["postgresql"]),
    ("postgresql", &["postgres"]),
    ("mysql", &["mariadb"]),
    ("mariadb", &["mysql"]),
    ("http", &["http_webhook"]),
];

/// Tells whether a connection of this type is one that `module` can use, so that it may be taken over from the route.
pub(crate) fn is_for(kind: Option<&str>, module: &str) -> bool {
    let Some(kind) = kind else { return !WITHOUT.contains(&module) };
    let kind = kind.replace('-', "_");
    let others = OTHER_NAMES.iter().filter(|(one, _)| *one == kind).flat_map(|(_, modules)| *modules);
    kind == module || others.into_iter().any(|other| *other == module)
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn a_connection_is_taken_over_by_modules_that_can_use_it() {
        for (kind, module, fits) in [
            (Some("redis-rq"), "redis_rq", true),
            (Some("postgres"), "postgresql", true),
            (Some("postgresql"), "log", false),
            (Some("postgresql"), "kafka", false),
            (None, "kafka", true),
            (None, "log", false),
        ] {
            assert_eq!(is_for(kind, module), fits, "{kind:?} {module}");
        }
    }
}
