//! Reads configuration files and reports what is wrong with all of them at once.

use std::fs;
use std::path::{Path, PathBuf};

use engine::config::{Document, Fault, Faults, Node, Variables, is_open};
use tracing::warn;

use crate::failure::Failure;

/// The file of connections that belongs to a configuration beside it.
pub(crate) const CONNECTIONS: &str = "connections.json";

/// A file that was read, with what was found wrong with it.
pub(crate) struct File {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) source: String,
    /// Its whole tree; none when the text is not JSON.
    pub(crate) root: Option<Node>,
    /// The complaints about it.
    pub(crate) faults: Faults,
}

impl File {
    /// Reads a file that must be there, and does with its variables what `variables` says.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(path: &Path, variables: Variables<'_>) -> Result<Self, Failure> {
        let source = fs::read_to_string(path).map_err(|error| {
            Failure::Configuration(format!("{}: cannot be read: {error}", path.display()))
        })?;
        Ok(Self::of(path, source, variables))
    }

    /// Takes the text of a file, and does with its variables what `variables` says.
    pub(crate) fn of(path: &Path, source: String, variables: Variables<'_>) -> Self {
        let mut faults = Faults::default();
        let read = Document::read_with(&source, variables, &mut faults);
        let root = read.map(|document| document.root.in_folder(path.parent().unwrap_or(Path::new(""))));
        Self { path: path.to_owned(), source, root, faults }
    }

    /// Reads the file that was named, else the implied one if it is there.
    ///
    /// # Errors
    /// The file that was named cannot be read.
    pub(crate) fn read_beside(
        named: Option<&Path>,
        implied: &Path,
        variables: Variables<'_>,
    ) -> Result<Option<Self>, Failure> {
        match named {
            Some(path) => Self::read(path, variables).map(Some),
            None if implied.is_file() => Self::read(implied, variables).map(Some),
            None => Ok(None),
        }
    }

    /// Stands for the command line where there is no file.
    pub(crate) fn command_line() -> Self {
        Self::named("command line")
    }

    /// Stands for a file without a text.
    pub(crate) fn named(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), source: String::new(), root: None, faults: Faults::default() }
    }

    /// Returns the whole tree; none when the text is not JSON.
    pub(crate) fn root(&self) -> Option<Node> {
        self.root.clone()
    }

    /// Returns the file that the text at `key` names, relative to the folder this one stands in.
    pub(crate) fn names(&self, key: &str) -> Option<PathBuf> {
        let name = self.root.as_ref()?.get(key)?;
        name.text().filter(|name| !is_open(name)).map(|name| self.folder().join(name))
    }

    /// Puts what another file says in the place of its name at `key`.
    pub(crate) fn include(&mut self, key: &str, other: &Self) {
        if let (Some(root), Some(included)) = (&self.root, &other.root) {
            let included = included.clone().named_at(root.at().child(key));
            self.root = Some(root.clone().with_member(key, &included));
        }
    }

    /// Returns the folder it stands in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Reports everything that is wrong with all files.
///
/// # Errors
/// There are faults.
pub(crate) fn refuse_faults(files: &[&File]) -> Result<(), Failure> {
    let faulty = files.iter().filter(|file| !file.faults.is_empty());
    let told: String =
        faulty.map(|file| file.faults.render(&file.path.display().to_string(), &file.source)).collect();
    if told.is_empty() { Ok(()) } else { Err(Failure::Configuration(told)) }
}

/// Logs what deserves a look in any of the files.
pub(crate) fn log_warnings(files: &[&File]) {
    for file in files {
        for Fault { at, problem, .. } in file.faults.warnings() {
            warn!(file = %file.path.display(), %at, "{problem}");
        }
    }
}
