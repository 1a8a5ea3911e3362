//! Configuration files of every kind, read, desugared and checked as `check` does, with variables known and left open.

use std::path::Path;

use engine::config::{Document, Faults, Nobody, Node, Variables};
use engine::graph::check::check_knowing;
use engine::graph::draft::Draft;
use schemas::connections::Connections;
use schemas::receiver::{Flags, Receiver};
use schemas::{connector, graph, modules, receiver, webhooks};

pub(crate) fn hold(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let known = |_: &str| Some("7".to_owned());
    for variables in [Variables::Known(&known), Variables::StandIns(&Nobody), Variables::Kept] {
        let mut faults = Faults::default();
        let document = Document::read_with(source, variables, &mut faults);
        drop(faults.render("file.json", source));
        if let Some(document) = document {
            READERS.iter().for_each(|read| all(&document.root, source, *read));
        }
    }
}

type Read = fn(&Node, &mut Faults) -> Vec<Draft>;

const READERS: [Read; 5] = [
    |root, faults| webhooks::read(root, &Receiver::stand_in(), &Connections::read(None, faults), faults),
    |root, faults| connector::read(root, &Connections::read(None, faults), faults),
    |root, faults| graph::read(root, &Connections::read(None, faults), faults),
    |root, faults| {
        drop(receiver::read(Some(root), Path::new("/etc"), &Nobody, &Flags::new(), faults));
        Vec::new()
    },
    |root, faults| {
        drop(Connections::read(Some(root), faults));
        Vec::new()
    },
];

fn all(root: &Node, source: &str, read: Read) {
    let mut faults = Faults::default();
    let drafts = read(root, &mut faults);
    let kinds = stages::registry::kinds();
    drop(check_knowing(drafts, &kinds, &modules::absent(&kinds, &kinds), &mut faults));
    drop(faults.render("file.json", source));
}
