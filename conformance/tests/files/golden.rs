//! Each `NAME.run` is a command line with the environment before it, and `NAME.told` what the binary says to it, to the
//! letter. `GOLDEN=write` writes the latter anew; read the difference before you keep it.

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::case::{Failed, ensure};
use conformance::stand::built_binary;

use crate::here;

fn runs(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(runs(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "run") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs one case in its folder and returns what is printed, what is complained, and the exit code.
fn told(run: &Path) -> Result<String, Failed> {
    let text = std::fs::read_to_string(run)?;
    let (mut command, mut words) = (Command::new(built_binary()?), Vec::new());
    command.env_clear().current_dir(run.parent().unwrap_or(run));
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((name, value)) if words.is_empty() => drop(command.env(name, value)),
            Some(_) | None => words.push(word),
        }
    }
    let output = command.args(&words).output()?;
    let mut told = String::from_utf8(output.stdout)?;
    let complained = String::from_utf8(output.stderr)?;
    if !complained.is_empty() {
        told += &format!("-- standard error\n{complained}");
    }
    told += &format!("-- exit {}\n", output.status.code().unwrap_or(-1));
    Ok(told)
}

#[test]
fn the_binary_says_what_it_said() -> Result<(), Failed> {
    let runs = runs(&here("tests/files/golden"))?;
    ensure(runs.len() >= 16, || "the cases are not there".to_owned())?;
    let mut wrong = Vec::new();
    for run in runs {
        let (told, wanted) = (told(&run)?, run.with_extension("told"));
        if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
            std::fs::write(&wanted, &told)?;
        }
        if std::fs::read_to_string(&wanted).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", run.display()));
        }
        ensure(!told.contains("s3cret"), || format!("a secret is told: {told}"))?;
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))
}
