//! From files to checked graphs, without opening anything: what the receiver and the connector do at start, and what
//! `check` and `plan` do instead of starting.

use std::path::PathBuf;

use engine::config::{Faults, Variables};
use engine::graph::check::{check_knowing, check_settings};
use engine::graph::draft::Draft;
use engine::graph::plan::Plan;
use engine::kind::Kind;
use schemas::connections::Connections;
use schemas::kinds::DocumentKind;
use schemas::receiver::Receiver;
use schemas::{connector, graph, link, modules, paths, webhooks};

use crate::config::File;
use crate::failure::Failure;

/// Returns every kind of stage of a receiver.
pub(crate) fn receiver_kinds() -> Vec<Kind> {
    stages::registry::kinds().into_iter().chain(cloud::kinds()).collect()
}

/// Returns every kind of stage of a connector.
pub(crate) fn connector_kinds() -> Vec<Kind> {
    stages::registry::kinds().into_iter().chain(::connector::kinds()).collect()
}

/// Returns every kind of stage of either end.
pub(crate) fn all_kinds() -> Vec<Kind> {
    receiver_kinds().into_iter().chain(::connector::kinds()).collect()
}

/// Returns the kinds of stage that a document may name.
pub(crate) fn kinds_of(kind: DocumentKind) -> Vec<Kind> {
    match kind {
        DocumentKind::Webhooks | DocumentKind::Receiver => receiver_kinds(),
        DocumentKind::Connector => connector_kinds(),
        DocumentKind::Connections | DocumentKind::Graph => all_kinds(),
    }
}

/// What a document is read together with.
pub(crate) struct Beside<'a> {
    /// The receiver as a whole; none when it is at fault.
    pub(crate) receiver: Option<&'a Receiver>,
    /// The named connections.
    pub(crate) connections: &'a Connections,
}

/// Desugars a document of this kind, adding its complaints to the file's.
pub(crate) fn drafts(file: &mut File, kind: DocumentKind, beside: &Beside<'_>) -> Vec<Draft> {
    let Some(root) = file.root() else { return Vec::new() };
    let mut faults = Faults::default();
    let drafts = match (kind, beside.receiver) {
        (DocumentKind::Webhooks, Some(receiver)) => {
            webhooks::read(&root, receiver, beside.connections, &mut faults)
        }
        (DocumentKind::Webhooks, None) => {
            webhooks::read(&root, &Receiver::stand_in(), beside.connections, &mut faults)
        }
        (DocumentKind::Connector, _) => connector::read(&root, beside.connections, &mut faults),
        (DocumentKind::Graph, _) => graph::read(&root, beside.connections, &mut faults),
        (DocumentKind::Receiver | DocumentKind::Connections, _) => Vec::new(),
    };
    file.faults.take_over(faults, |at| root.place_of(at));
    paths::join(drafts, file.folder())
}

/// Checks the graph of a document whole, adding the complaints to the file's.
pub(crate) fn plans(file: &mut File, kind: DocumentKind, drafts: Vec<Draft>, kinds: &[Kind]) -> Vec<Plan> {
    let absent = modules::absent(kinds, &all_kinds());
    let mut faults = Faults::default();
    let is_whole = file.faults.is_empty() || kind == DocumentKind::Graph;
    let plans = if is_whole {
        check_knowing(drafts, kinds, &absent, &mut faults).unwrap_or_default()
    } else {
        check_settings(&drafts, kinds, &absent, &mut faults);
        Vec::new()
    };
    let root = file.root();
    file.faults
        .take_over(faults, |at| root.as_ref().map_or_else(|| Some(at.clone()), |root| root.place_of(at)));
    plans
}

/// Reads the named connections; none when there is no such file.
pub(crate) fn connections(file: Option<&mut File>) -> Connections {
    match file {
        Some(file) => Connections::read(file.root().as_ref(), &mut file.faults),
        None => Connections::read(None, &mut Faults::default()),
    }
}

/// Makes the paths of certificates in a connector's file independent of the working directory, puts the entries of the
/// webhooks file that it names in the place of its name, and returns that file.
///
/// # Errors
/// It cannot be read.
pub(crate) fn follow_paths(
    file: &mut File,
    kind: DocumentKind,
    variables: Variables<'_>,
) -> Result<Option<File>, Failure> {
    if kind == DocumentKind::Connector {
        let folder = file.folder().to_owned();
        file.root = file.root().map(|root| link::join_paths(&root, &folder));
    }
    let named = file.names("webhooks_config").filter(|_| kind == DocumentKind::Connector);
    let webhooks = named.map(|path| File::read(&path, variables)).transpose()?;
    if let Some(webhooks) = &webhooks {
        file.include("webhooks_config", webhooks);
    }
    Ok(webhooks)
}

/// Returns the file of connections that a connector's file names.
pub(crate) fn named_connections(file: &File, kind: DocumentKind) -> Option<PathBuf> {
    file.names("connections_config").filter(|_| kind == DocumentKind::Connector)
}

/// Returns which of the two kinds that an end runs this file is; another kind is a fault.
pub(crate) fn kind_for(file: &mut File, own: DocumentKind) -> DocumentKind {
    let Some(root) = file.root() else { return own };
    match DocumentKind::of(&root) {
        Some(DocumentKind::Graph) => DocumentKind::Graph,
        Some(kind) if kind != own && is_run(kind) => {
            let problem = format!("this is a {} file, where one of {} is expected", kind.name(), own.name());
            let help = match kind {
                DocumentKind::Connector => Some("`webhook-connect --config FILE` runs it".to_owned()),
                DocumentKind::Webhooks => Some("`webhook-connect receiver --config FILE` runs it".to_owned()),
                DocumentKind::Receiver | DocumentKind::Connections | DocumentKind::Graph => None,
            };
            file.faults.add(root.at(), problem, help);
            // Nothing else can be said about it here.
            file.root = None;
            kind
        }
        Some(_) | None => own,
    }
}

/// Tells whether one end runs files of this kind, so that the other should not.
fn is_run(kind: DocumentKind) -> bool {
    matches!(kind, DocumentKind::Connector | DocumentKind::Webhooks)
}
