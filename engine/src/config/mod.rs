//! Configuration as a tree, with pointers, faults and secrets.

/// One place of a configuration document.
#[derive(Clone, Debug)]
pub struct Node {}

/// Every complaint about a configuration.
#[derive(Debug, Default)]
pub struct Faults {}

impl Node {
    /// Parses.
    pub fn parse<T: serde::de::DeserializeOwned>(&self, _faults: &mut Faults) -> Option<T> {
        None
    }
}
