//! One place of a document: a value and where it stands.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::decode::{Complaint, Decoder};
use super::{Faults, Pointer};

/// A value of a document, with the place it stands at.
#[derive(Clone)]
pub struct Node {
    value: Value,
    at: Pointer,
}

impl Node {
    /// Makes a node. Settings that a document only implies are made with the place that implies them.
    #[must_use]
    pub fn new(value: Value, at: Pointer) -> Self {
        Self { value, at }
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
        Some(Self { value: value.clone(), at: self.at.child(key) })
    }

    /// Returns every member in the order of the document; nothing when this is no object.
    pub fn members(&self) -> impl Iterator<Item = (&str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), Self { value: value.clone(), at: self.at.child(key) }))
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

    /// Parses the value, complaining with the exact place of what is wrong. Where the target asks for a number or a
    /// boolean, a text that reads as one is taken for it; where it asks for a text, a text stays as it is.
    pub fn parse<T: DeserializeOwned>(&self, faults: &mut Faults) -> Option<T> {
        match T::deserialize(Decoder::new(&self.value, self.at.clone())) {
            Ok(parsed) => Some(parsed),
            Err(Complaint { at, problem, help }) => {
                faults.add(&at.unwrap_or_else(|| self.at.clone()), problem, help);
                None
            }
        }
    }
}

/// Shows the place and never the value, which may hold secrets.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.at)
    }
}
