//! `connections.json`: settings that several destinations share, by name.

use engine::config::{Faults, Node, Pointer, suggest};
use serde_json::{Map, Value};

/// Named connections.
#[derive(Clone, Debug)]
pub struct Connections(Option<Node>);

impl Connections {
    /// Reads a `connections.json`; none when there is no such file.
    pub fn read(root: Option<&Node>, faults: &mut Faults) -> Self {
        for (_, connection) in root.into_iter().flat_map(|root| root.members().collect::<Vec<_>>()) {
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
        let mut all = Map::new();
        for source in [&connection, config] {
            all.extend(source.members().map(|(key, member)| (key.to_owned(), member.value().clone())));
        }
        all.shift_remove("type");
        let inherited = connection.members().filter(|(key, _)| config.get(key).is_none());
        let settings = Node::new(Value::Object(all), config.at().clone());
        Some(inherited.fold(settings, |settings, (key, member)| {
            let place = if self.is_inline() { member.at() } else { name.at() };
            settings.with_member_at(key, place.clone())
        }))
    }
}
