//! What every format desugars to: stages by name, with settings as they were read.

use crate::config::{Node, Pointer};

/// A stage as a document describes or implies it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its name in the graph.
    pub name: String,
    /// What kind of stage it is, as users write it.
    pub module: String,
    /// Its settings, not parsed yet.
    pub settings: Node,
    /// The place in the document that describes or implies it: where complaints point to.
    pub at: Pointer,
    /// What it takes webhooks from. Empty for sources.
    pub from: Vec<From>,
}

/// One end of an edge: the port of a stage that webhooks come out of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The stage.
    pub stage: String,
    /// Its port.
    pub port: Port,
}

/// A port that webhooks come out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The way on.
    Out,
    /// What a flow stage gives up.
    Exhausted,
}

impl From {
    /// Names the way out of `stage`.
    #[must_use]
    pub fn out(stage: impl Into<String>) -> Self {
        Self { stage: stage.into(), port: Port::Out }
    }
}
