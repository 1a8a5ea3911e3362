//! Opens a plan's stages and joins them.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::graph::draft::Draft;
use crate::graph::plan::{Plan, Planned};
use crate::kind::{Context, Kind, Lasting, OpenError, Resources, Role, Stage, Wiring};
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
    /// Cancelled when the time for finishing is over: what is held then is given back.
    pub cut: CancellationToken,
}

impl Surroundings {
    /// Makes the surroundings of a process that shares nothing yet.
    #[must_use]
    pub fn new(kinds: Arc<[Kind]>, stop: watch::Receiver<bool>) -> Self {
        let (meter, resources) = (Meter::default(), Resources::default());
        Self { kinds, meter, resources, stop, cut: CancellationToken::new() }
    }
}

/// How one pipeline is told to end, however often it is opened again.
#[derive(Clone, Debug)]
pub(super) struct Halt {
    /// Becomes true when it should finish what it holds and end.
    pub(super) stop: watch::Sender<bool>,
    /// Cancelled when the time for finishing is over.
    pub(super) cut: CancellationToken,
}

/// A pipeline that is open, joined and not running yet.
pub struct Opened {
    pub(super) name: String,
    pub(super) stages: Vec<OpenStage>,
    pub(super) drafts: Vec<Draft>,
    pub(super) halt: Halt,
    /// Cancelled when what it holds is to be given back: told so, or because a stage has failed.
    pub(super) cut: CancellationToken,
    pub(super) lasting: Lasting,
}

/// A stage that is open, with the ends it is joined by.
pub(super) struct OpenStage {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) stage: Box<dyn Stage>,
    pub(super) wiring: Wiring,
}

impl Opened {
    /// Opens every stage of `plan`, in the order of the graph's drafts.
    ///
    /// # Errors
    /// The stage that could not be opened, by name. Those opened before it are closed again.
    pub async fn new(plan: Plan, surroundings: &Surroundings) -> Result<Self, OpenError> {
        let halt = Halt { stop: watch::Sender::new(false), cut: surroundings.cut.child_token() };
        Self::with(plan, surroundings, halt).await
    }

    /// Opens every one of `plans`.
    ///
    /// # Errors
    /// The first stage that could not be opened, by name. Everything opened before it is closed again.
    pub async fn all(plans: Vec<Plan>, surroundings: &Surroundings) -> Result<Vec<Self>, OpenError> {
        let mut opened = Vec::with_capacity(plans.len());
        for plan in plans {
            opened.push(Self::new(plan, surroundings).await?);
        }
        Ok(opened)
    }

    /// Opens every stage of `plan`, to end when `halt` says so.
    pub(super) async fn with(plan: Plan, surroundings: &Surroundings, halt: Halt) -> Result<Self, OpenError> {
        let name = plan.name().to_owned();
        let wirings = join(&plan.stages, &surroundings.meter);
        let (cut, lasting) = (halt.cut.child_token(), Lasting::default());
        let mut stages = Vec::with_capacity(plan.stages.len());
        for (planned, wiring) in plan.stages.into_iter().zip(wirings) {
            let Planned { name, role, build, gates, .. } = planned;
            let cx = Context {
                name: Arc::clone(&name),
                meter: surroundings.meter.clone(),
                resources: surroundings.resources.clone(),
                stop: halt.stop.subscribe(),
                cut: cut.clone(),
                lasting: lasting.clone(),
            };
            let stage = build
                .open(&cx)
                .await
                .map_err(|error| OpenError { what: format!("{name}: {}", error.what), help: error.help })?;
            gates.iter().for_each(|gate| gate.open(&cx));
            stages.push(OpenStage { name, role, stage, wiring });
        }
        Ok(Self { name, stages, drafts: plan.drafts, halt, cut, lasting })
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
                wirings[at].channel = stage.channel.clone();
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
