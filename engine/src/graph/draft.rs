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

/// Reads the name of a port, as it follows the name of its stage and a dot.
impl std::str::FromStr for Port {
    type Err = UnknownPort;

    fn from_str(name: &str) -> Result<Self, UnknownPort> {
        match name {
            "out" => Ok(Self::Out),
            "exhausted" => Ok(Self::Exhausted),
            _ => Err(UnknownPort),
        }
    }
}

/// Writes the name of a port.
impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Out => "out",
            Self::Exhausted => "exhausted",
        })
    }
}

/// No port is called like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port is called like this")]
pub struct UnknownPort;

impl From {
    /// Names the way out of `stage`.
    #[must_use]
    pub fn out(stage: impl Into<String>) -> Self {
        Self { stage: stage.into(), port: Port::Out }
    }
}
