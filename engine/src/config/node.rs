//! One place of a document: a value and where it stands.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::decode::{Complaint, Decoder};
use super::open::{is_open_value, left_open};
use super::{Faults, Pointer};

/// A value of a document, with the place it stands at.
#[derive(Clone)]
pub struct Node {
    value: Value,
    at: Pointer,
    /// The values that stand elsewhere.
    elsewhere: Vec<Moved>,
    /// The folder of its document, to which paths are relative. None for what no file says.
    folder: Option<Arc<Path>>,
}

/// A value that stands elsewhere.
#[derive(Clone)]
struct Moved {
    /// The way to it from the settings it was given to.
    way: Pointer,
    /// Where it stands.
    place: Pointer,
    /// The folder of its document.
    folder: Option<Arc<Path>>,
}

impl Node {
    /// Makes a node. Settings that a document only implies are made with the place that implies them.
    #[must_use]
    pub fn new(value: Value, at: Pointer) -> Self {
        Self { value, at, elsewhere: Vec::new(), folder: None }
    }

    /// Says that the document is a file of this folder.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// Returns the folder to which paths here are relative. None for what no file says: the working directory.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Puts another value into this place.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { value, ..self.clone() }
    }

    /// Lets every complaint about this value, and about what is in it, point to `place`: it stands in another document,
    /// which `place` names.
    #[must_use]
    pub fn named_at(self, place: Pointer) -> Self {
        Self { at: place, elsewhere: Vec::new(), ..self }
    }

    /// Makes a node of which nobody knows the value: nothing is said against it.
    #[must_use]
    pub fn stand_in(at: Pointer) -> Self {
        Self::new(Value::String(left_open("")), at)
    }

    /// Says that the member `key` of these settings stands elsewhere in the document: complaints about it point there.
    #[must_use]
    pub fn with_member_at(mut self, key: &str, place: Pointer) -> Self {
        self.elsewhere.push(Moved { way: Pointer::root().child(key), place, folder: self.folder.clone() });
        self
    }

    /// Gives these settings the member `key`, which keeps its place, and so does everything in it. What is no object stays
    /// as it is.
    #[must_use]
    pub fn with_member(mut self, key: &str, member: &Self) -> Self {
        let Some(members) = self.value.as_object_mut() else { return self };
        members.insert(key.to_owned(), member.value.clone());
        let way = Pointer::root().child(key);
        self.elsewhere.retain(|known| known.way.below(&way).is_none());
        let inside =
            member.elsewhere.iter().map(|moved| Moved { way: way.join(&moved.way), ..moved.clone() });
        let (place, folder) = (member.at.clone(), member.folder.clone());
        self.elsewhere.extend(std::iter::once(Moved { way: way.clone(), place, folder }).chain(inside));
        self
    }

    /// Lays these members over those of `below`: what stands here wins, and each member keeps its place. What is no object
    /// stays as it is.
    #[must_use]
    pub fn laid_over(&self, below: &Self) -> Self {
        if !self.is_object() {
            return self.clone();
        }
        let start = Self::new(Value::Object(Map::new()), self.at.clone());
        let all = below.members().fold(start, |all, (key, member)| all.with_member(key, &member));
        self.members().fold(all, |all, (key, member)| all.with_member(key, &member))
    }

    /// Returns where the document has what these settings have at `at`; none when its value is left open, so that
    /// nothing can be said against it.
    #[must_use]
    pub fn place_of(&self, at: &Pointer) -> Option<Pointer> {
        let Some(way) = at.below(&self.at) else { return Some(at.clone()) };
        if self.value.pointer(way.as_str()).is_some_and(is_open_value) {
            return None;
        }
        let moves = self.elsewhere.iter().filter_map(|moved| Some((moved, way.below(&moved.way)?)));
        // The most exact one counts.
        let moved = moves.max_by_key(|(moved, _)| moved.way.as_str().len());
        let moved = moved.map(|(moved, rest)| moved.place.join(&rest));
        Some(moved.unwrap_or_else(|| at.clone()))
    }

    /// Returns where it stands.
    #[must_use]
    pub fn at(&self) -> &Pointer {
        &self.at
    }

    /// Returns the value. It may hold secrets.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the member `key`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_object()?.get(key)?;
        Some(self.member(key, value))
    }

    /// Returns every member in the order of the document; nothing when this is no object.
    pub fn members(&self) -> impl Iterator<Item = (&str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), self.member(key, value)))
    }

    /// Returns every item, if this is a list.
    pub fn items(&self) -> Option<impl Iterator<Item = Self>> {
        let item = |(index, value): (usize, &Value)| Self {
            value: value.clone(),
            at: self.at.index(index),
            elsewhere: Vec::new(),
            folder: self.folder.clone(),
        };
        Some(self.value.as_array()?.iter().enumerate().map(item))
    }

    fn member(&self, key: &str, value: &Value) -> Self {
        let way = Pointer::root().child(key);
        let inside = self
            .elsewhere
            .iter()
            .filter_map(|moved| Some(Moved { way: moved.way.below(&way)?, ..moved.clone() }));
        let (own, elsewhere): (Vec<_>, Vec<_>) = inside.partition(|moved| moved.way == Pointer::root());
        let (at, folder) = own
            .into_iter()
            .next()
            .map_or_else(|| (self.at.child(key), self.folder.clone()), |moved| (moved.place, moved.folder));
        Self { value: value.clone(), at, elsewhere, folder }
    }

    /// Returns the text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// Returns true when it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// Parses the value, complaining about everything that is wrong, each at its exact place. Where the target asks for a
    /// number or a boolean, a text that reads as one is taken for it; where it asks for a text, a text stays as it is.
    pub fn parse<T: DeserializeOwned>(&self, faults: &mut Faults) -> Option<T> {
        let complaint = match T::deserialize(Decoder::new(&self.value, self.at.clone())) {
            Ok(parsed) => return Some(parsed),
            Err(complaint) => complaint,
        };
        let (mut left, mut next) = (self.value.clone(), Some(complaint));
        let mut told = Vec::new();
        while let Some(Complaint { at, problem, help, missing }) = next.take() {
            let at = at.unwrap_or_else(|| self.at.clone());
            // What was taken away below is not missing.
            if missing.is_none_or(|key| !told.contains(&at.child(key)))
                && let Some(place) = self.place_of(&at)
            {
                faults.add(&place, problem, help);
            }
            // Without what was complained about, the rest can be judged.
            if let Some(removed) = take_away(&mut left, &self.at, &at) {
                told.push(removed);
                next = T::deserialize(Decoder::new(&left, self.at.clone())).err();
            }
        }
        None
    }
}

/// Removes the member at `at` or the nearest one around it, and returns where it was.
fn take_away(value: &mut Value, base: &Pointer, at: &Pointer) -> Option<Pointer> {
    let (mut path, mut found) = (Vec::new(), None);
    let mut place = &*value;
    for token in at.below(base)?.tokens() {
        if place.is_object() {
            found = Some(path.len());
        }
        place = match place {
            Value::Object(members) => members.get(&token)?,
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        path.push(token);
    }
    path.truncate(found? + 1);
    let last = path.pop()?;
    let parent = path.iter().fold(Pointer::root(), |parent, token| parent.child(token));
    let place = base.join(&parent).child(&last);
    value.pointer_mut(parent.as_str())?.as_object_mut()?.shift_remove(&last).map(|_| place)
}

/// Shows the place and never the value, which may hold secrets.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.at)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::config::{Document, Nobody, Variables};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read does not matter here")]
    struct Settings {
        url: String,
        #[serde(default)]
        size: u8,
        #[serde(default)]
        list: Vec<u8>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read does not matter here")]
    struct Inner {
        deep: bool,
    }

    fn told(node: &Node) -> Vec<String> {
        let mut faults = Faults::default();
        assert!(node.parse::<Settings>(&mut faults).is_none());
        faults.iter().map(|fault| fault.at.to_string()).collect()
    }

    #[test]
    fn everything_that_is_wrong_with_one_object_is_told_at_once() {
        let value = json!({"url": 1, "size": 300, "list": [1, "x", "y"], "inner": {"dep": true}, "sise": 1});
        let told = told(&Node::new(value, Pointer::root().child("x")));
        assert_eq!(told, ["/x/url", "/x/size", "/x/list/1", "/x/inner/dep", "/x/inner", "/x/sise"]);
    }

    #[test]
    fn a_member_from_elsewhere_is_complained_about_where_it_stands() {
        let place = Pointer::root().child("cloud").child("url");
        let node = Node::new(json!({"url": 1, "size": 300}), Pointer::root().child("x"))
            .with_member_at("url", place);
        assert_eq!(told(&node), ["/cloud/url", "/x/size"]);
    }

    #[test]
    fn what_is_laid_over_other_settings_is_complained_about_where_it_stands() {
        let place = |name: &str| Pointer::root().child(name);
        let deep = Node::new(json!({"dep": true}), place("below"));
        let inner = Node::new(json!({}), place("implied")).with_member("deep", &deep);
        let below = Node::new(json!({"url": 1, "size": 300}), place("below")).with_member("inner", &inner);
        let over = Node::new(json!({"url": 2, "list": 3}), place("over"));
        let laid = over.laid_over(&below);
        let shown = json!({"url": 2, "size": 300, "inner": {"deep": {"dep": true}}, "list": 3});
        assert_eq!(laid.value(), &shown);
        assert_eq!(told(&laid), ["/over/url", "/below/size", "/below", "/over/list"]);
        assert_eq!(laid.get("inner").unwrap().get("deep").unwrap().at(), &place("below"));
    }

    #[test]
    fn a_value_knows_the_folder_of_its_own_document_wherever_it_is_carried_to() {
        let root = |value, folder: &str| Node::new(value, Pointer::root()).in_folder(Path::new(folder));
        let shared = root(json!({"c": {"path": "p", "url": "u"}}), "/shared").get("c").unwrap();
        let shared = shared.members().fold(Node::new(json!({}), Pointer::root()), |all, (key, member)| {
            all.with_member(key, &member.named_at(Pointer::root().child("connection")))
        });
        let own = root(json!({"list": [{"url": "v"}]}), "/own").get("list").unwrap().items().unwrap().next();
        let laid = own.unwrap().laid_over(&shared);
        let folder = |key: &str| laid.get(key).unwrap().folder().map(Path::to_owned);
        assert_eq!((folder("path"), folder("url")), (Some("/shared".into()), Some("/own".into())));
        assert_eq!(laid.get("path").unwrap().at(), &Pointer::root().child("connection"));
    }

    #[test]
    fn nothing_is_said_against_an_open_value() {
        let mut faults = Faults::default();
        let source = r#"{"url": "u", "size": "{$SIZE}", "list": "{$LIST}"}"#;
        let document = Document::read_with(source, Variables::StandIns(&Nobody), &mut faults);
        let root = document.unwrap().root;
        assert!(root.parse::<Settings>(&mut faults).is_none(), "a list cannot be guessed");
        assert!(faults.is_empty());
    }
}
