//! Each `NAME.run` is a command line with the environment before it, and `NAME.told` what the binary says to it, to the
//! letter. `GOLDEN=write` writes the latter anew; read the difference before you keep it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{binary, here};

fn runs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(runs(&path));
        } else if path.extension().is_some_and(|extension| extension == "run") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Runs one case in its folder and returns what is printed, what is complained, and the exit code.
fn told(run: &Path) -> String {
    let text = std::fs::read_to_string(run).unwrap();
    let (mut command, mut words) = (Command::new(binary()), Vec::new());
    command.env_clear().current_dir(run.parent().unwrap());
    for word in text.split_whitespace() {
        match word.split_once('=') {
            Some((name, value)) if words.is_empty() => drop(command.env(name, value)),
            Some(_) | None => words.push(word),
        }
    }
    let output = command.args(&words).output().unwrap();
    let mut told = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    if !complained.is_empty() {
        write!(told, "-- standard error\n{complained}").unwrap();
    }
    writeln!(told, "-- exit {}", output.status.code().unwrap_or(-1)).unwrap();
    told
}

#[test]
fn the_binary_says_what_it_said() {
    let runs = runs(&here("tests/files/golden"));
    assert!(runs.len() >= 9, "the cases are there");
    let mut wrong = Vec::new();
    for run in runs {
        let (told, wanted) = (told(&run), run.with_extension("told"));
        if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
            std::fs::write(&wanted, &told).unwrap();
        }
        if std::fs::read_to_string(&wanted).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", run.display()));
        }
        assert!(!told.contains("s3cret"), "no secret is told: {told}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
