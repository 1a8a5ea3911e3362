//! What every format desugars to: stages by name, with settings as they were read.

use std::fmt;

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

impl Draft {
    /// Tells whether `other` describes a stage that does the same, wherever in a document it stands.
    #[must_use]
    pub fn runs_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.module == other.module
            && self.from == other.from
            && self.settings.value() == other.settings.value()
    }
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
    /// One of several ways on, the first is 1. Written `NAME.1`, `NAME.2`, ...
    Link(u16),
}

/// Reads the name of a port, as it follows the name of its stage and a dot.
impl std::str::FromStr for Port {
    type Err = UnknownPort;

    fn from_str(name: &str) -> Result<Self, UnknownPort> {
        match name {
            "out" => Ok(Self::Out),
            "exhausted" => Ok(Self::Exhausted),
            _ => {
                let number =
                    name.parse().ok().filter(|number: &u16| *number > 0 && name == number.to_string());
                number.map(Self::Link).ok_or(UnknownPort)
            }
        }
    }
}

/// Writes the name of a port.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Out => f.write_str("out"),
            Self::Exhausted => f.write_str("exhausted"),
            Self::Link(number) => write!(f, "{number}"),
        }
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

    /// Names the numbered way out of `stage`.
    #[must_use]
    pub fn link(stage: impl Into<String>, number: u16) -> Self {
        Self { stage: stage.into(), port: Port::Link(number) }
    }

    /// Names what `stage` gives up.
    #[must_use]
    pub fn exhausted(stage: impl Into<String>) -> Self {
        Self { stage: stage.into(), port: Port::Exhausted }
    }
}

impl fmt::Display for From {
    /// Writes it as the explicit format does: `NAME`, `NAME.exhausted` or `NAME.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, port } = self;
        match port {
            Port::Out => f.write_str(stage),
            Port::Exhausted | Port::Link(_) => write!(f, "{stage}.{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_reads_back_as_it_is_written() {
        for port in [Port::Out, Port::Exhausted, Port::Link(1), Port::Link(u16::MAX)] {
            assert_eq!(port.to_string().parse(), Ok(port));
        }
        for name in ["", "0", "01", "+1", "65536", "Out"] {
            assert_eq!(name.parse::<Port>(), Err(UnknownPort), "{name}");
        }
    }
}
