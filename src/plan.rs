//! `webhook-connect plan`: prints the graph of stages that a file describes.
//!
//! The graph is made of the file as it is written: `{$VAR}` stays `{$VAR}`. A secret that stands in the file as text is shown
//! as `***`, and a graph that holds this is refused when it is run.

use std::io::Write;
use std::path::{Path, PathBuf};

use engine::config::{Environment, Faults, Lookup, Node, Variables, left_open};
use engine::graph::draft::{Draft, Port};
use schemas::connections::Connections;
use schemas::kinds::DocumentKind;
use schemas::receiver::{Flags, Receiver, Shown};
use schemas::{graph, print};

use crate::check::kind_of;
use crate::cli;
use crate::config::{File, refuse_faults};
use crate::failure::Failure;
use crate::load::{self, Beside};

/// The variable that gives every channel a token that has none in a file.
const TOKEN: &str = "WEBHOOK_CONNECT_CHANNEL_TOKEN";

/// Prints the graph of a file.
///
/// # Errors
/// A file cannot be read or is at fault.
pub(crate) fn run(options: &cli::Plan) -> Result<(), Failure> {
    let drafts = graph::shown(&read(options)?, &load::all_kinds());
    let printed = match options.format {
        cli::Drawing::Text => print::text(&drafts),
        cli::Drawing::Json => format!("{:#}\n", graph::write(&drafts)),
        cli::Drawing::Dot => print::dot(&drafts),
        cli::Drawing::Mermaid => print::mermaid(&drafts),
    };
    // A reader that has gone away has seen enough.
    drop(std::io::stdout().write_all(printed.as_bytes()));
    Ok(())
}

/// One reading of all files: with the variables as they are written, or with what is known of their values.
struct Reading {
    file: File,
    others: Vec<File>,
    kind: Option<DocumentKind>,
    drafts: Vec<Draft>,
}

/// Checks the files as they would run here, as far as variables are known, and returns the graph as it is written.
fn read(options: &cli::Plan) -> Result<Vec<Draft>, Failure> {
    let mut known = read_with(options, Variables::StandIns(&Environment))?;
    if let Some(kind) = known.kind {
        drop(load::plans(&mut known.file, kind, known.drafts.clone(), &load::kinds_of(kind)));
    }
    let written = read_with(options, Variables::Kept)?;
    if known.file.faults.is_empty() && shape(&known.drafts) != shape(&written.drafts) {
        let problem = "which stages there are depends on the values of variables";
        let help =
            "write modules, `data_type` and the beginning of destinations' URLs as they are".to_owned();
        known.file.faults.add(&engine::config::Pointer::root(), problem, Some(help));
    }
    let files: Vec<&File> = std::iter::once(&known.file).chain(&known.others).collect();
    refuse_faults(&files)?;
    Ok(written.drafts)
}

fn read_with(options: &cli::Plan, variables: Variables<'_>) -> Result<Reading, Failure> {
    let mut file = File::read(&options.file, variables)?;
    let kind = match file.root() {
        Some(root) => options.kind.map(DocumentKind::from).or_else(|| kind_of(&options.file, &root)),
        None => None,
    };
    let runs = [DocumentKind::Webhooks, DocumentKind::Connector, DocumentKind::Graph];
    let Some(kind) = kind.filter(|kind| runs.contains(kind)) else {
        if let Some(root) = file.root() {
            file.faults.add(
                root.at(),
                "this describes no stages",
                Some("say what it is with --kind".to_owned()),
            );
        }
        return Ok(Reading { file, others: Vec::new(), kind, drafts: Vec::new() });
    };
    let mut others = Vec::new();
    let named = options.connections.clone().or_else(|| load::named_connections(&file, kind));
    let connections = read_connections(named, options, variables, &mut others)?;
    others.extend(load::follow_paths(&mut file, kind, variables)?);
    let receiver = match kind {
        DocumentKind::Webhooks => read_receiver(options.receiver_config.as_deref(), &mut others)?,
        DocumentKind::Receiver
        | DocumentKind::Connector
        | DocumentKind::Connections
        | DocumentKind::Graph => None,
    };
    if kind == DocumentKind::Connector {
        let by_name = |name: &str| Environment.get(name).map(|_| left_open(&format!("{{${name}}}")));
        file.root = file.root().map(|root| schemas::connector::overlay(&root, &by_name, &Flags::new()));
    }
    let drafts =
        load::drafts(&mut file, kind, &Beside { receiver: receiver.as_ref(), connections: &connections });
    Ok(Reading { file, others, kind: Some(kind), drafts })
}

fn read_connections(
    named: Option<PathBuf>,
    options: &cli::Plan,
    variables: Variables<'_>,
    others: &mut Vec<File>,
) -> Result<Connections, Failure> {
    let beside = options.file.with_file_name("connections.json");
    let path = named.or_else(|| beside.is_file().then_some(beside));
    let Some(path) = path else { return Ok(Connections::read(None, &mut Faults::default())) };
    let mut file = File::read(&path, variables)?;
    let connections = load::connections(Some(&mut file));
    others.push(file);
    Ok(connections)
}

/// Reads the receiver as a whole: what decides about stages as it is here, what becomes part of them as it is written.
fn read_receiver(path: Option<&Path>, others: &mut Vec<File>) -> Result<Option<Receiver>, Failure> {
    let Some(path) = path else {
        let mut file = File::command_line();
        let receiver = receiver_of(None, Path::new(""), &mut file.faults);
        others.push(file);
        return Ok(receiver);
    };
    let mut file = File::read(path, Variables::StandIns(&Environment))?;
    let (root, folder) = (file.root(), file.folder().to_owned());
    let known = receiver_of(root.as_ref(), &folder, &mut file.faults);
    others.push(file);
    let root = File::read(path, Variables::Kept)?.root();
    let written = receiver_of(root.as_ref(), &folder, &mut Faults::default());
    let shown = written.map_or_else(Shown::default, |written| written.shown);
    Ok(known.map(|known| Receiver { shown, ..known }))
}

fn receiver_of(root: Option<&Node>, folder: &Path, faults: &mut Faults) -> Option<Receiver> {
    let has_token = root.is_some_and(|root| root.get("channel_token").is_some());
    // A token that no file has comes from the environment wherever the graph is run.
    let lookup = |name: &str| match name {
        TOKEN => {
            (!has_token || Environment.get(TOKEN).is_some()).then(|| left_open(&format!("{{${TOKEN}}}")))
        }
        _ => Environment.get(name),
    };
    schemas::receiver::read(root, folder, &lookup, &Flags::new(), faults)
}

/// What a stage takes from: the place of another, when it is known, and its port.
type Wire = (Option<usize>, Port);

/// The shape of a graph: the modules of its stages and its wires, without names.
fn shape(drafts: &[Draft]) -> Vec<(&str, Vec<Wire>)> {
    let place = |name: &str| drafts.iter().position(|draft| draft.name == name);
    let from = |draft: &Draft| draft.from.iter().map(|from| (place(&from.stage), from.port)).collect();
    drafts.iter().map(|draft| (draft.module.as_str(), from(draft))).collect()
}
