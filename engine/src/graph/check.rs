//! The check: pure, total, and the only way from drafts to plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Faults, suggest};
use crate::graph::draft::{Draft, Port};
use crate::graph::plan::{Plan, Planned};
use crate::graph::wires::Wires;
use crate::kind::{Blueprint, DynBuild, DynGate, Kind};

/// Reads every stage's settings and judges every wire, and gives one plan per pipeline when nothing is wrong.
///
/// Opens nothing. Every complaint of the whole graph is added to `faults`, not only the first.
pub fn check(drafts: Vec<Draft>, kinds: &[Kind], faults: &mut Faults) -> Option<Vec<Plan>> {
    let before = faults.len();
    let found: Vec<_> = drafts.iter().map(|draft| find(draft, kinds, faults)).collect();
    let wires = Wires::new(&drafts, &found, faults);
    let mut blueprints = Vec::with_capacity(drafts.len());
    for (at, (draft, kind)) in drafts.iter().zip(&found).enumerate() {
        let blueprint = kind.and_then(|kind| (kind.parse)(&draft.settings, faults));
        wires.check(at, blueprint.as_ref().map(links), &drafts, faults);
        blueprints.push(blueprint);
    }
    let roles: Vec<Kind> = found.into_iter().flatten().copied().collect();
    let blueprints: Vec<Blueprint> = blueprints.into_iter().flatten().collect();
    let sound = faults.len() == before && roles.len() == drafts.len() && blueprints.len() == drafts.len();
    sound.then(|| plans(drafts, &roles, blueprints, &wires))
}

fn find<'k>(draft: &Draft, kinds: &'k [Kind], faults: &mut Faults) -> Option<&'k Kind> {
    let module = draft.module.as_str();
    let found = kinds.iter().find(|kind| kind.name == module || kind.aliases.contains(&module));
    if found.is_none() {
        let names =
            kinds.iter().flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied()));
        let help = suggest(module, names).map(|name| format!("did you mean `{name}`?"));
        faults.add(&draft.at.child("module"), format!("no module is called `{module}`"), help);
    }
    found
}

/// Returns how many numbered ports a stage has.
fn links(blueprint: &Blueprint) -> u16 {
    match blueprint {
        Blueprint::Gate(_) => 0,
        Blueprint::Stage(build) => build.links(),
    }
}

/// Sorts sound stages into pipelines and fuses gates into the sources they follow.
fn plans(drafts: Vec<Draft>, kinds: &[Kind], blueprints: Vec<Blueprint>, wires: &Wires) -> Vec<Plan> {
    let pipelines = wires.pipelines();
    let places = places(&blueprints, &pipelines);
    let (gates, builds) = part(blueprints);
    let mut plans: BTreeMap<usize, Plan> = BTreeMap::new();
    for (at, build) in builds {
        let (passed, out) = follow(at, wires, &gates);
        let place = |at: Option<usize>| at.and_then(|at| places[at]);
        let numbers = 1..=build.links();
        let links = numbers.filter_map(|number| place(taker(at, Port::Link(number), wires))).collect();
        let stage = Planned {
            name: drafts[at].name.as_str().into(),
            role: kinds[at].role,
            build,
            gates: passed,
            out: place(out),
            links,
            exhausted: place(taker(at, Port::Exhausted, wires)),
        };
        plans.entry(pipelines[at]).or_default().stages.push(stage);
    }
    for (at, draft) in drafts.into_iter().enumerate() {
        plans.entry(pipelines[at]).or_default().drafts.push(draft);
    }
    plans.into_values().collect()
}

/// Returns the place of each stage that runs as a task within its own pipeline.
fn places(blueprints: &[Blueprint], pipelines: &[usize]) -> Vec<Option<usize>> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let place = |(blueprint, pipeline): (&Blueprint, &usize)| match blueprint {
        Blueprint::Gate(_) => None,
        Blueprint::Stage(_) => {
            let count = counts.entry(*pipeline).or_default();
            *count += 1;
            Some(*count - 1)
        }
    };
    blueprints.iter().zip(pipelines).map(place).collect()
}

type Gates = BTreeMap<usize, Arc<dyn DynGate>>;
type Builds = BTreeMap<usize, Box<dyn DynBuild>>;

fn part(blueprints: Vec<Blueprint>) -> (Gates, Builds) {
    let (mut gates, mut builds) = (Gates::new(), Builds::new());
    for (at, blueprint) in blueprints.into_iter().enumerate() {
        match blueprint {
            Blueprint::Gate(gate) => drop(gates.insert(at, gate)),
            Blueprint::Stage(build) => drop(builds.insert(at, build)),
        }
    }
    (gates, builds)
}

/// Follows the way out of a stage through gates to the next stage that runs as a task.
fn follow(at: usize, wires: &Wires, gates: &Gates) -> (Vec<Arc<dyn DynGate>>, Option<usize>) {
    let mut passed = Vec::new();
    let mut next = taker(at, Port::Out, wires);
    while let Some((at, gate)) = next.and_then(|at| Some((at, gates.get(&at)?))) {
        passed.push(Arc::clone(gate));
        next = taker(at, Port::Out, wires);
    }
    (passed, next)
}

fn taker(at: usize, port: Port, wires: &Wires) -> Option<usize> {
    wires.to[at].iter().find(|(_, taken)| *taken == port).map(|(to, _)| *to)
}
