//! Opens a plan's stages and joins them.

use std::sync::Arc;

use tokio::sync::watch;

use crate::graph::draft::Draft;
use crate::graph::plan::{Plan, Planned};
use crate::kind::{Context, Kind, OpenError, Resources, Role, Stage, Wiring};
use crate::meter::{Edge, Meter};
use crate::port::{self, CAPACITY, Out, Verified};
use crate::supply::supply;

/// What all pipelines of one process share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Every kind of stage there is.
    pub kinds: Arc<[Kind]>,
    /// Counts.
    pub meter: Meter,
    /// What stages share.
    pub resources: Resources,
    /// Becomes true when everything should finish what it holds and end.
    pub stop: watch::Receiver<bool>,
}

/// A pipeline that is open, joined and not running yet.
pub struct Opened {
    pub(super) name: String,
    pub(super) stages: Vec<(Arc<str>, Box<dyn Stage>, Wiring)>,
    pub(super) drafts: Vec<Draft>,
}

impl Opened {
    /// Opens every stage of `plan`, in the order of the graph's drafts.
    ///
    /// # Errors
    /// The stage that could not be opened, by name. Those opened before it are closed again.
    pub async fn new(plan: Plan, surroundings: &Surroundings) -> Result<Self, OpenError> {
        let name = plan.name().to_owned();
        let wirings = join(&plan.stages, &surroundings.meter);
        let mut stages = Vec::with_capacity(plan.stages.len());
        for (planned, wiring) in plan.stages.into_iter().zip(wirings) {
            let cx = Context {
                name: Arc::clone(&planned.name),
                meter: surroundings.meter.clone(),
                resources: surroundings.resources.clone(),
                stop: surroundings.stop.clone(),
            };
            let stage = planned.build.open(&cx).await.map_err(|error| OpenError {
                what: format!("{}: {}", planned.name, error.what),
                help: error.help,
            })?;
            stages.push((planned.name, stage, wiring));
        }
        Ok(Self { name, stages, drafts: plan.drafts })
    }
}

/// Makes the channels between stages and deals out their ends.
fn join(stages: &[Planned], meter: &Meter) -> Vec<Wiring> {
    let mut wirings: Vec<Wiring> = stages.iter().map(|_| Wiring::default()).collect();
    let inputs: Vec<Option<Out<Verified>>> = stages
        .iter()
        .zip(&mut wirings)
        .map(|(stage, wiring)| {
            let takes = matches!(stage.role, Role::Buffer | Role::Flow | Role::Destination);
            takes.then(|| {
                let (out, input) = port::edge(CAPACITY, Edge::new(meter, &stage.name));
                wiring.input = Some(input);
                out
            })
        })
        .collect();
    for (at, stage) in stages.iter().enumerate() {
        let next = stage.out.and_then(|to| inputs[to].as_ref());
        match stage.role {
            Role::Receive => {
                wirings[at].gated = next.map(|next| port::gated(next, stage.gates.as_slice().into()));
            }
            Role::Buffer => {
                let (supply, demand) = supply();
                wirings[at].demand = Some(demand);
                if let Some(outlet) = stage.out {
                    wirings[outlet].supply = Some(supply);
                }
            }
            Role::Subscribe | Role::Passage | Role::Flow => wirings[at].out = next.cloned(),
            Role::Gate { .. } | Role::Outlet | Role::Destination => {}
        }
        wirings[at].links = stage.links.iter().filter_map(|to| inputs[*to].clone()).collect();
        let given_up = stage.exhausted.and_then(|to| inputs[to].as_ref());
        wirings[at].exhausted = given_up.map(port::exhausted);
    }
    wirings
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).finish_non_exhaustive()
    }
}
