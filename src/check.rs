//! `webhook-connect check`: tells every fault of all files at once, and starts nothing.

mod report;

use std::io::Write;
use std::path::Path;

use engine::config::{Environment, Faults, Lookup, Nobody, Node, Pointer, Variables, left_open};
use schemas::connections::Connections;
use schemas::kinds::DocumentKind;
use schemas::receiver::{Flags, Receiver};

use crate::cli;
use crate::config::File;
use crate::failure::Failure;
use crate::load::{self, Beside};
use crate::secrets::Secrets;

/// The variable that gives every channel a token that has none in a file.
const TOKEN: &str = "WEBHOOK_CONNECT_CHANNEL_TOKEN";

/// A file that was checked, and what it is.
struct Checked {
    file: File,
    kind: Option<DocumentKind>,
}

/// Checks all files together and prints what is wrong with them.
///
/// # Errors
/// There are faults.
pub(crate) fn run(options: &cli::Check) -> Result<(), Failure> {
    let checked = check(options);
    let printed = match options.format {
        cli::Telling::Human => report::human(&checked),
        cli::Telling::Json => report::json(&checked),
        cli::Telling::Sarif => report::sarif(&checked),
    };
    // A reader that has gone away has seen enough.
    drop(std::io::stdout().write_all(printed.as_bytes()));
    if checked.iter().all(|checked| checked.file.faults.is_empty()) { Ok(()) } else { Err(Failure::Told) }
}

fn check(options: &cli::Check) -> Vec<Checked> {
    let secrets = Secrets::default();
    let variables =
        if options.no_secrets { Variables::StandIns(&Nobody) } else { Variables::Known(&secrets) };
    let mut files: Vec<Checked> = options.files.iter().map(|path| read(path, variables, options)).collect();
    let receiver = read_receiver(&mut files, options.no_secrets);
    let given = position(&files, DocumentKind::Connections);
    let shared = given.map(|at| load::connections(Some(&mut files[at].file)));
    let mut beside_files = Vec::new();
    for checked in &mut files {
        let Some(kind) = checked.kind else { continue };
        let own = match &shared {
            Some(_) => None,
            None => read_connections_beside(&checked.file, kind, variables, &mut beside_files),
        };
        let nothing = Connections::read(None, &mut Faults::default());
        let connections = shared.as_ref().or(own.as_ref()).unwrap_or(&nothing);
        match load::follow_paths(&mut checked.file, kind, variables) {
            Ok(webhooks) => {
                beside_files.extend(webhooks.map(|file| Checked { file, kind: Some(DocumentKind::Webhooks) }))
            }
            Err(failure) => {
                let at = Pointer::root().child("webhooks_config");
                checked.file.faults.add(&at, failure.text(), None);
                continue;
            }
        }
        check_one(
            &mut checked.file,
            kind,
            &Beside { receiver: receiver.as_ref(), connections },
            options.no_secrets,
        );
    }
    files.extend(beside_files);
    files
}

fn position(files: &[Checked], kind: DocumentKind) -> Option<usize> {
    files.iter().position(|checked| checked.kind == Some(kind))
}

/// Reads a file and finds out what it is.
fn read(path: &Path, variables: Variables<'_>, options: &cli::Check) -> Checked {
    let source = match std::fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) => {
            let mut file = File::named(path);
            file.faults.add(&Pointer::root(), format!("cannot be read: {error}"), None);
            return Checked { file, kind: None };
        }
    };
    let mut file = File::of(path, source, variables);
    let Some(root) = file.root() else { return Checked { file, kind: None } };
    let kind = options.kind.map(DocumentKind::from).or_else(|| kind_of(path, &root));
    if kind.is_none() {
        let names: Vec<_> = DocumentKind::ALL.iter().map(|kind| kind.name()).collect();
        let help = format!("say so with --kind {}", names.join("|"));
        file.faults.add(root.at(), "its keys do not tell what kind of file this is", Some(help));
    }
    Checked { file, kind }
}

/// Tells what a file is by its keys, else by its name.
pub(crate) fn kind_of(path: &Path, root: &Node) -> Option<DocumentKind> {
    DocumentKind::of(root).or_else(|| {
        let stem = path.file_stem()?.to_str()?;
        DocumentKind::ALL.into_iter().find(|kind| kind.name() == stem)
    })
}

/// Reads the receiver as a whole: from its file if that is among them, else from the environment and the defaults.
fn read_receiver(files: &mut [Checked], no_secrets: bool) -> Option<Receiver> {
    let own = position(files, DocumentKind::Receiver);
    let root = own.and_then(|at| files[at].file.root());
    let lookup = |name: &str| match no_secrets {
        // It may be set where the file is used; entries without a token are warned about.
        true => (name == TOKEN && !has_token(root.as_ref())).then(|| left_open(TOKEN)),
        false => Environment.get(name),
    };
    let mut faults = Faults::default();
    let folder = own.map(|at| files[at].file.folder().to_owned()).unwrap_or_default();
    let receiver = schemas::receiver::read(root.as_ref(), &folder, &lookup, &Flags::new(), &mut faults);
    // Without a file, what is wrong with the environment is told where it matters.
    let at = own.or_else(|| position(files, DocumentKind::Webhooks));
    if let Some(at) = at {
        let root = files[at].file.root();
        let place = |at: &Pointer| root.as_ref().and_then(|root| root.place_of(at));
        files[at].file.faults.take_over(faults, place);
    }
    receiver
}

fn has_token(root: Option<&Node>) -> bool {
    root.is_some_and(|root| root.get("channel_token").is_some())
}

/// Reads the connections.json beside a file, once, when no other was given.
fn read_connections_beside(
    file: &File,
    kind: DocumentKind,
    variables: Variables<'_>,
    read: &mut Vec<Checked>,
) -> Option<Connections> {
    if !matches!(kind, DocumentKind::Connector | DocumentKind::Webhooks | DocumentKind::Graph) {
        return None;
    }
    let named = load::named_connections(file, kind);
    let path = named.unwrap_or_else(|| file.path.with_file_name("connections.json"));
    if let Some(known) = read.iter().find(|known| known.file.path == path) {
        return Some(Connections::read(known.file.root().as_ref(), &mut Faults::default()));
    }
    let source = std::fs::read_to_string(&path).ok()?;
    let mut file = File::of(&path, source, variables);
    let connections = load::connections(Some(&mut file));
    read.push(Checked { file, kind: Some(DocumentKind::Connections) });
    Some(connections)
}

/// Does what the end that runs this file does before it starts.
fn check_one(file: &mut File, kind: DocumentKind, beside: &Beside<'_>, no_secrets: bool) {
    if kind == DocumentKind::Connector && !no_secrets {
        file.root = file.root().map(|root| schemas::connector::overlay(&root, &Environment, &Flags::new()));
    }
    if kind == DocumentKind::Webhooks && no_secrets {
        warn_of_tokens(file, beside.receiver);
    }
    let drafts = load::drafts(file, kind, beside);
    drop(load::plans(file, kind, drafts, &load::kinds_of(kind)));
}

/// Warns about entries whose channel gets its token where the file is used, or not at all.
fn warn_of_tokens(file: &mut File, receiver: Option<&Receiver>) {
    let token = receiver.and_then(|receiver| receiver.shown.channel_token.as_ref());
    if token.is_none_or(|token| token.text() != Some(&left_open(TOKEN))) {
        return;
    }
    let Some(root) = file.root() else { return };
    for (id, entry) in root.members() {
        let Some(config) = entry.get("module-config") else { continue };
        if config.get("channel").is_some() && config.get("channel_token").is_none() {
            let problem = format!(
                "no token in these files protects the channel that `{id}` feeds; the receiver starts only with \
                 `channel_token` here or in receiver.json, {TOKEN} or --channel-token"
            );
            file.faults.warn(config.at(), problem);
        }
    }
}
