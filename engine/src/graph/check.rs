//! The check: pure, total, and the only way from drafts to plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Faults, is_open, suggest};
use crate::graph::draft::{Draft, Port};
use crate::graph::plan::{Plan, Planned};
use crate::graph::wires::Wires;
use crate::kind::{Blueprint, Claim, DynBuild, DynGate, Kind, Role};

/// Reads every stage's settings and judges every wire, and gives one plan per pipeline when nothing is wrong.
///
/// Opens nothing. Every complaint of the whole graph is added to `faults`, not only the first.
pub fn check(drafts: Vec<Draft>, kinds: &[Kind], faults: &mut Faults) -> Option<Vec<Plan>> {
    check_knowing(drafts, kinds, &[], faults)
}

/// A module that has a name and is not among the kinds.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// The name users write.
    pub name: &'static str,
    /// Why it is not there, as it follows the name: `is not available in this version`.
    pub why: &'static str,
}

/// Does what [`check`] does, and says of the modules in `absent` why they are not there.
pub fn check_knowing(
    drafts: Vec<Draft>,
    kinds: &[Kind],
    absent: &[Absent],
    faults: &mut Faults,
) -> Option<Vec<Plan>> {
    let before = faults.len();
    let found: Vec<_> = drafts.iter().map(|draft| find(draft, kinds, absent, faults)).collect();
    let wires = Wires::new(&drafts, &found, faults);
    let mut blueprints = Vec::with_capacity(drafts.len());
    for (at, (draft, kind)) in drafts.iter().zip(&found).enumerate() {
        let blueprint = kind.and_then(|kind| parse(kind, draft, faults));
        // Only the settings of a flow stage say how many ports it has.
        let unread = kind.filter(|kind| kind.role != Role::Flow).map(|_| 0);
        wires.check(at, blueprint.as_ref().map(links).or(unread), &drafts, faults);
        blueprints.push(blueprint);
    }
    check_claims(&drafts, &blueprints, faults);
    check_channels(&drafts, &wires, faults);
    let roles: Vec<Kind> = found.into_iter().flatten().copied().collect();
    let blueprints: Vec<Blueprint> = blueprints.into_iter().flatten().collect();
    let sound = faults.len() == before && roles.len() == drafts.len() && blueprints.len() == drafts.len();
    sound.then(|| plans(drafts, &roles, blueprints, &wires))
}

/// Reads every stage's settings and judges no wires: for a document that is known to be at fault, whose wires would only
/// repeat that.
pub fn check_settings(drafts: &[Draft], kinds: &[Kind], absent: &[Absent], faults: &mut Faults) {
    for draft in drafts {
        if let Some(kind) = find(draft, kinds, absent, faults) {
            drop(parse(kind, draft, faults));
        }
    }
}

/// Reads the settings of one stage. Complaints point at where the document has them.
fn parse(kind: &Kind, draft: &Draft, faults: &mut Faults) -> Option<Blueprint> {
    let mut own = Faults::default();
    let blueprint = (kind.parse)(&draft.settings, &mut own);
    faults.take_over(own, |at| draft.settings.place_of(at));
    blueprint
}

fn find<'k>(draft: &Draft, kinds: &'k [Kind], absent: &[Absent], faults: &mut Faults) -> Option<&'k Kind> {
    let module = draft.module.as_str();
    let found = kinds.iter().find(|kind| kind.name == module || kind.aliases.contains(&module));
    // An empty name was complained about where it was read.
    if found.is_none() && !module.is_empty() {
        let (problem, help) = unknown(module, kinds, absent);
        faults.add(&draft.at.child("module"), problem, help);
    }
    found
}

/// Returns what is wrong with a module that is not among the kinds, and which one was probably meant.
fn unknown(module: &str, kinds: &[Kind], absent: &[Absent]) -> (String, Option<String>) {
    if let Some(Absent { name, why }) = absent.iter().find(|absent| absent.name == module) {
        return (format!("`{name}` {why}"), None);
    }
    let names = kinds.iter().flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied()));
    let near = suggest(module, names.chain(absent.iter().map(|absent| absent.name)));
    let help = near.map(|near| match absent.iter().find(|absent| absent.name == near) {
        Some(Absent { why, .. }) => format!("did you mean `{near}`? it {why}"),
        None => format!("did you mean `{near}`?"),
    });
    (format!("no module is called `{module}`"), help)
}

/// Complains about stages that have what another one has already: one of them would get nothing.
fn check_claims(drafts: &[Draft], blueprints: &[Option<Blueprint>], faults: &mut Faults) {
    let mut first: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (draft, blueprint) in drafts.iter().zip(blueprints) {
        let Some(Blueprint::Stage(build)) = blueprint else { continue };
        // What is left open may become anything.
        let Some(Claim { what, name, key }) = build.claim().filter(|claim| !is_open(claim.name)) else {
            continue;
        };
        if let Some(other) = first.get(&(what, name)) {
            let at = draft.settings.at().child(key);
            let place = draft.settings.place_of(&at).unwrap_or(at);
            faults.add(&place, format!("the {what} `{name}` belongs to `{other}` already"), None);
        } else {
            first.insert((what, name), &draft.name);
        }
    }
}

/// Complains about what takes from a buffer and is called like another channel: its figures would be those of two.
fn check_channels(drafts: &[Draft], wires: &Wires, faults: &mut Faults) {
    let hands_on = |at: &usize| matches!(wires.role(*at), Some(Role::Outlet | Role::Passage));
    for at in (0..drafts.len()).filter(hands_on) {
        let Some(buffer) = wires.from[at].first().map(|(source, _)| &drafts[*source]) else { continue };
        let (Some(own), Some(kept)) = (channel(&drafts[at]), channel(buffer)) else { continue };
        if own != kept && !is_open(&own) && !is_open(&kept) {
            let problem = format!("`{}` keeps the channel `{kept}`, which is another one", buffer.name);
            faults.add(&drafts[at].settings.at().child("channel"), problem, None);
        }
    }
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
        let channel = out.filter(|_| kinds[at].role == Role::Receive).and_then(|at| channel(&drafts[at]));
        let numbers = 1..=build.links();
        let links = numbers.filter_map(|number| place(taker(at, Port::Link(number), wires))).collect();
        let stage = Planned {
            name: drafts[at].name.as_str().into(),
            role: kinds[at].role,
            build,
            gates: passed,
            channel,
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

/// Returns the channel that a buffer is for.
fn channel(buffer: &Draft) -> Option<Arc<str>> {
    Some(buffer.settings.get("channel")?.text()?.into())
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
