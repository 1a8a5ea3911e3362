//! What users meet who write files: faults and how they are told, plans, and where settings come from.

mod editor;
mod examples;
mod golden;
mod plan;
mod precedence;

use std::path::{Path, PathBuf};

/// Returns the binary under test: the one named by `WEBHOOK_CONNECT_BIN`, else the one beside this test's own folder.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("WEBHOOK_CONNECT_BIN") {
        return named.into();
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let built =
        own.parent().and_then(Path::parent).expect("tests lie two folders deep").join("webhook-connect");
    assert!(built.is_file(), "build the binary first: cargo build --bin webhook-connect");
    built
}

/// Returns a path below the folder of this crate.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
