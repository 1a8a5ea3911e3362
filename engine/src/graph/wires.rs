//! The wires between drafts: who sends to whom, and whether that may be.

use std::collections::BTreeMap;

use crate::config::{Faults, suggest};
use crate::graph::draft::{Draft, From, Port};
use crate::kind::{Kind, Role};

/// The wires of a graph, by the places of its drafts.
pub(super) struct Wires {
    /// The roles of the drafts; none where the module is unknown, which is a fault of its own.
    roles: Vec<Option<Role>>,
    /// What each stage takes from: known stages only.
    pub(super) from: Vec<Vec<(usize, Port)>>,
    /// What takes from each stage.
    pub(super) to: Vec<Vec<(usize, Port)>>,
}

impl Wires {
    /// Follows every `from`, complaining about names that nobody has and names that two stages have.
    pub(super) fn new(drafts: &[Draft], kinds: &[Option<&Kind>], faults: &mut Faults) -> Self {
        let mut places = BTreeMap::new();
        for (at, draft) in drafts.iter().enumerate() {
            if places.insert(draft.name.as_str(), at).is_some() {
                faults.add(&draft.at, format!("two stages are called `{}`", draft.name), None);
            }
        }
        let mut wires = Self {
            roles: kinds.iter().map(|kind| kind.map(|kind| kind.role)).collect(),
            from: vec![Vec::new(); drafts.len()],
            to: vec![Vec::new(); drafts.len()],
        };
        for (at, draft) in drafts.iter().enumerate() {
            for from in &draft.from {
                if let Some(&source) = places.get(from.stage.as_str()) {
                    wires.from[at].push((source, from.port));
                    wires.to[source].push((at, from.port));
                } else {
                    let near = suggest(&from.stage, places.keys().copied());
                    let help = near.map(|near| format!("did you mean `{near}`?"));
                    let problem = format!("no stage is called `{}`", from.stage);
                    faults.add(&draft.at.child("from"), problem, help);
                }
            }
        }
        wires
    }

    /// Returns what a stage is for; none where its module is unknown.
    pub(super) fn role(&self, at: usize) -> Option<Role> {
        self.roles[at]
    }

    /// Complains about everything that is wrong with the wires of one stage, which has as many numbered ports as `links`
    /// says; none where its settings are wrong.
    pub(super) fn check(&self, at: usize, links: Option<u16>, drafts: &[Draft], faults: &mut Faults) {
        let Some(role) = self.roles[at] else { return };
        let draft = &drafts[at];
        let (least, most) = inputs(role);
        let count = draft.from.len();
        if count < least || count > most {
            let wants = if most == 0 { "nothing" } else { "something" };
            let problem = format!("`{}` must take webhooks from {wants}, and takes from {count}", draft.name);
            faults.add(&draft.at, problem, None);
        }
        for &(source, port) in &self.from[at] {
            self.check_wire(source, port, at, drafts, faults);
        }
        if let Some(links) = links {
            self.check_outputs(at, role, links, drafts, faults);
        }
        if role == Role::Buffer {
            self.check_senders(at, drafts, faults);
        }
        if self.reaches_itself(at) {
            faults.add(&draft.at, format!("`{}` is part of a loop", draft.name), None);
        }
    }

    fn check_wire(&self, source: usize, port: Port, at: usize, drafts: &[Draft], faults: &mut Faults) {
        let (Some(from), Some(to)) = (self.roles[source], self.roles[at]) else { return };
        let fits = match to {
            Role::Receive | Role::Subscribe => false,
            Role::Gate { .. } | Role::Buffer => {
                matches!(from, Role::Receive | Role::Gate { .. }) && port == Port::Out
            }
            Role::Outlet | Role::Passage => from == Role::Buffer && port == Port::Out,
            Role::Flow | Role::Destination => match port {
                Port::Out => matches!(from, Role::Subscribe | Role::Passage | Role::Flow),
                Port::Link(_) => from == Role::Flow,
                Port::Exhausted => from == Role::Flow && to == Role::Destination,
            },
        };
        if !fits {
            let (from, to) = (&drafts[source].name, &drafts[at].name);
            faults.add(&drafts[at].at, format!("`{to}` cannot take webhooks from `{from}`"), None);
        }
    }

    /// I8: what comes out of a stage goes somewhere. Only `exhausted` has a default: it reports upstream.
    fn check_outputs(&self, at: usize, role: Role, links: u16, drafts: &[Draft], faults: &mut Faults) {
        let draft = &drafts[at];
        let ends = matches!(role, Role::Outlet | Role::Destination);
        let has = |port: Port| match port {
            Port::Out => !ends && links == 0,
            Port::Exhausted => role == Role::Flow,
            Port::Link(number) => (1..=links).contains(&number),
        };
        let ports = [Port::Out, Port::Exhausted].into_iter().chain((1..=links).map(Port::Link));
        for port in ports.filter(|port| has(*port)) {
            let from = From { stage: draft.name.clone(), port };
            let takers = self.to[at].iter().filter(|(_, taken)| *taken == port).count();
            if takers == 0 && port != Port::Exhausted {
                faults.add(&draft.at, format!("nothing takes the webhooks of `{from}`"), None);
            } else if takers > 1 {
                faults.add(&draft.at, format!("{takers} stages take the webhooks of `{from}`"), None);
            }
        }
        for &(to, port) in self.to[at].iter().filter(|(_, port)| !has(*port)) {
            let from = From { stage: draft.name.clone(), port };
            faults.add(&drafts[to].at, format!("no webhooks come out of `{from}`"), None);
        }
    }

    /// I4: every way into a buffer passes a gate that proves the sender, or `open`.
    fn check_senders(&self, buffer: usize, drafts: &[Draft], faults: &mut Faults) {
        for &(source, _) in &self.from[buffer] {
            let mut gates = self.upstream(source).filter_map(|at| self.roles[at]);
            if !gates.any(|role| role == Role::Gate { proves_sender: true }) {
                let problem = format!("nothing proves who sends what `{}` brings", drafts[source].name);
                let help = "put an auth gate before the buffer, or the gate `open`";
                faults.add(&drafts[source].at, problem, Some(help.to_owned()));
            }
        }
    }

    /// Walks from a stage against the flow, along first inputs. Ends, also in a loop.
    pub(super) fn upstream(&self, from: usize) -> impl Iterator<Item = usize> {
        let next = |at: &usize| self.from[*at].first().map(|(source, _)| *source);
        std::iter::successors(Some(from), next).take(self.roles.len())
    }

    fn reaches_itself(&self, at: usize) -> bool {
        let mut seen = vec![false; self.roles.len()];
        let mut open: Vec<usize> = self.to[at].iter().map(|(to, _)| *to).collect();
        while let Some(next) = open.pop() {
            if next == at {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true) {
                open.extend(self.to[next].iter().map(|(to, _)| *to));
            }
        }
        false
    }

    /// Returns for each stage the number of its pipeline: stages with the same number are joined.
    pub(super) fn pipelines(&self) -> Vec<usize> {
        let mut pipeline = vec![usize::MAX; self.roles.len()];
        for start in 0..self.roles.len() {
            if pipeline[start] != usize::MAX {
                continue;
            }
            let mut open = vec![start];
            while let Some(at) = open.pop() {
                if pipeline[at] == usize::MAX {
                    pipeline[at] = start;
                    open.extend(self.from[at].iter().chain(&self.to[at]).map(|(other, _)| *other));
                }
            }
        }
        pipeline
    }
}

/// Returns how many stages a role takes webhooks from: at least, at most.
fn inputs(role: Role) -> (usize, usize) {
    match role {
        Role::Receive | Role::Subscribe => (0, 0),
        Role::Gate { .. } | Role::Outlet | Role::Passage | Role::Flow => (1, 1),
        Role::Buffer | Role::Destination => (1, usize::MAX),
    }
}
