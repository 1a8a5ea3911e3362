//! What references in files are replaced by: variables of the environment, files, and secrets in Vault.

mod file;
mod http;
mod vault;

use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;

use engine::config::{Environment, Lookup, Reference};

use self::vault::Vault;

/// Reads secrets for one reading of all files: what is read once stays the same until it is dropped.
#[derive(Default)]
pub(crate) struct Secrets {
    files: RefCell<Vec<PathBuf>>,
    vault: OnceCell<Result<Vault, String>>,
}

impl Secrets {
    /// Returns the files that references named, whether or not they are there.
    pub(crate) fn files(self) -> Vec<PathBuf> {
        self.files.into_inner()
    }
}

impl Lookup for Secrets {
    fn get(&self, name: &str) -> Option<String> {
        Environment.get(name)
    }

    fn fetch(&self, from: Reference<'_>) -> Result<Option<String>, String> {
        match from {
            Reference::Variable(name) => Ok(self.get(name)),
            Reference::File(path) => {
                self.files.borrow_mut().push(path.into());
                file::read(path.as_ref())
            }
            Reference::Vault { path, field } => {
                let vault = self.vault.get_or_init(|| Vault::of(&Environment));
                vault.as_ref().map_err(Clone::clone)?.read(path, field)
            }
        }
    }
}
