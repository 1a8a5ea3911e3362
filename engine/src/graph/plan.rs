//! One pipeline, checked and not opened: stages joined to one another and to nothing else.

use std::sync::Arc;

use crate::graph::draft::Draft;
use crate::kind::{DynBuild, DynGate, Role};

/// One pipeline whose settings are read and whose wires are sound.
#[derive(Debug, Default)]
pub struct Plan {
    /// Its stages; gates are not among them, they are fused into the sources they follow.
    pub(crate) stages: Vec<Planned>,
    /// What it was made of, so that it can be checked again and reopened.
    pub(crate) drafts: Vec<Draft>,
}

/// A stage that runs as a task, with where it sends.
pub(crate) struct Planned {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) build: Box<dyn DynBuild>,
    /// The gates its webhooks pass on their way out; only a receiving source has any.
    pub(crate) gates: Vec<Arc<dyn DynGate>>,
    /// The channel that its webhooks go to; only a receiving source has one.
    pub(crate) channel: Option<Arc<str>>,
    /// The stage that takes what comes out, by its place in [`Plan::stages`].
    pub(crate) out: Option<usize>,
    /// The stages that take what comes out of its numbered ports, in their order.
    pub(crate) links: Vec<usize>,
    /// The stage that takes what this one gives up.
    pub(crate) exhausted: Option<usize>,
}

impl Plan {
    /// Returns the name of the pipeline: the stage its webhooks end at.
    #[must_use]
    pub fn name(&self) -> &str {
        let end = self.stages.iter().find(|stage| matches!(stage.role, Role::Outlet | Role::Destination));
        end.or(self.stages.first()).map_or("", |stage| &stage.name)
    }

    /// Returns the names of its stages that run as tasks.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &*stage.name)
    }
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gates: Vec<_> = self.gates.iter().map(|gate| gate.name()).collect();
        f.debug_struct("Planned")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("gates", &gates)
            .field("out", &self.out)
            .field("links", &self.links)
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}
