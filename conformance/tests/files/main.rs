//! What users meet who write files: faults and how they are told, plans, and where settings come from.

mod editor;
mod every_fault;
mod examples;
mod forms;
mod golden;
mod plan;
mod precedence;
mod running;
mod testing;

use std::path::{Path, PathBuf};

/// Returns a path below the folder of this crate.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
