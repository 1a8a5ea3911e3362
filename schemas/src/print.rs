//! Draws a graph: as text for people, for Graphviz, for Mermaid.

use engine::graph::draft::{Draft, Port};

/// Writes one block per pipeline: each stage with its module, what it takes from, and its settings.
#[must_use]
pub fn text(drafts: &[Draft]) -> String {
    let names = drafts.iter().map(|draft| draft.name.chars().count()).max().unwrap_or(0);
    let modules = drafts.iter().map(|draft| draft.module.len()).max().unwrap_or(0);
    let mut blocks: Vec<(usize, String)> = Vec::new();
    for (draft, pipeline) in drafts.iter().zip(pipelines(drafts)) {
        let from: Vec<_> = draft.from.iter().map(ToString::to_string).collect();
        let from = if from.is_empty() { String::new() } else { format!("from {}", from.join(", ")) };
        let line = format!("{:names$}  {:modules$}  {from}", draft.name, draft.module);
        let mut stage = format!("{}\n", line.trim_end());
        for (key, value) in draft.settings.members() {
            stage += &format!("    {key}: {}\n", value.value());
        }
        if !draft.settings.is_object() {
            stage += &format!("    {}\n", draft.settings.value());
        }
        match blocks.iter_mut().find(|(number, _)| *number == pipeline) {
            Some((_, block)) => *block += &stage,
            None => blocks.push((pipeline, stage)),
        }
    }
    let blocks: Vec<_> = blocks.into_iter().map(|(_, block)| block).collect();
    blocks.join("\n")
}

/// Writes a directed graph for Graphviz.
#[must_use]
pub fn dot(drafts: &[Draft]) -> String {
    let mut text = "digraph stages {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for (at, Draft { name, module, .. }) in drafts.iter().enumerate() {
        text += &format!("  n{at} [label=\"{}\\n{}\"];\n", quoted(name), quoted(module));
    }
    for (from, to, port) in edges(drafts) {
        let label = port.map(|port| format!(" [label=\"{port}\"]")).unwrap_or_default();
        text += &format!("  n{from} -> n{to}{label};\n");
    }
    text + "}\n"
}

/// Writes a flow chart for Mermaid.
#[must_use]
pub fn mermaid(drafts: &[Draft]) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (at, Draft { name, module, .. }) in drafts.iter().enumerate() {
        text += &format!("  n{at}[\"{}<br/>{}\"]\n", entities(name), entities(module));
    }
    for (from, to, port) in edges(drafts) {
        let label = port.map(|port| format!("|{port}|")).unwrap_or_default();
        text += &format!("  n{from} -->{label} n{to}\n");
    }
    text
}

/// Returns every edge, by the places of its stages, with its port unless that is the way out.
fn edges(drafts: &[Draft]) -> Vec<(usize, usize, Option<Port>)> {
    let place = |name: &str| drafts.iter().position(|draft| draft.name == name);
    let mut edges = Vec::new();
    for (to, draft) in drafts.iter().enumerate() {
        for from in &draft.from {
            let port = (from.port != Port::Out).then_some(from.port);
            edges.extend(place(&from.stage).map(|from| (from, to, port)));
        }
    }
    edges
}

/// Returns for each stage the number of its pipeline: stages that are joined have the same.
fn pipelines(drafts: &[Draft]) -> Vec<usize> {
    let mut pipeline: Vec<usize> = (0..drafts.len()).collect();
    let edges = edges(drafts);
    // Every round joins more; as many rounds as there are edges join all.
    for _ in 0..edges.len() {
        for &(from, to, _) in &edges {
            let first = pipeline[from].min(pipeline[to]);
            (pipeline[from], pipeline[to]) = (first, first);
        }
    }
    pipeline
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
