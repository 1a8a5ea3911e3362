//! The examples, and the JSON in the documentation, are sound: `check` says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::case::{Failed, ensure};
use conformance::stand::built_binary;
use tempfile::TempDir;

use crate::here;

/// The variables that the examples need beside those that have a default.
const VARIABLES: [&str; 9] = [
    "STRIPE_WEBHOOK_SECRET",
    "GITHUB_WEBHOOK_SECRET",
    "CONNECTOR_API_TOKEN",
    "PAYMENTS_API_KEY",
    "STRIPE_CHANNEL_TOKEN",
    "PARTNER_TOKEN",
    "EVENTS_TOKEN",
    "WHERE",
    "TEAM",
];

/// What is suggested for the one example that keeps a header which Stripe itself does not send.
const SUGGESTED: &str = "for it, replace `hmac`";

/// Checks files of one folder together, and returns what is said when that is not praise.
fn check(
    folder: &Path,
    files: &[PathBuf],
    more: &[&str],
    with_variables: bool,
) -> Result<Option<String>, Failed> {
    let mut command = Command::new(built_binary()?);
    command.env_clear().current_dir(folder).arg("check").args(files).args(more);
    if with_variables {
        command.envs(VARIABLES.map(|name| (name, "some-value")));
    }
    let output = command.output()?;
    let told = String::from_utf8(output.stdout)?;
    let suggested = usize::from(folder.ends_with("examples/relay"));
    let warnings = (told.matches("warning:").count(), told.matches(SUGGESTED).count());
    let praised = output.status.success() && warnings == (suggested, suggested);
    Ok((!praised).then(|| format!("{}:\n{told}", folder.display())))
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
    files.sort();
    Ok(files)
}

#[test]
fn every_example_is_sound_with_its_variables_and_without_secrets() -> Result<(), Failed> {
    let folders = files_in(&here("../examples"))?;
    ensure(folders.len() >= 3, || "the examples are not there".to_owned())?;
    let mut wrong = Vec::new();
    for folder in folders {
        let files = files_in(&folder)?;
        wrong.extend(check(&folder, &files, &[], true)?);
        wrong.extend(check(&folder, &files, &["--no-secrets"], false)?);
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))
}

/// Returns the blocks of JSON in a text.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```json\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
}

#[test]
fn the_json_in_the_documentation_is_sound() -> Result<(), Failed> {
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in
        ["../README.md", "../docs/configuration.md", "../docs/conformance.md", "../docs/signatures.md"]
    {
        let text = std::fs::read_to_string(here(document))?;
        for block in blocks(&text) {
            count += 1;
            let folder = TempDir::new()?;
            let file = folder.path().join("block.json");
            std::fs::write(&file, block)?;
            wrong.extend(check(folder.path(), &[file], &["--no-secrets"], false)?);
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))?;
    ensure(count >= 4, || "the blocks are not found".to_owned())
}
