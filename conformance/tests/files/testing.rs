//! The tests that the documentation names are there.

use std::path::{Path, PathBuf};

use conformance::case::{Failed, ensure};

use crate::here;

/// Where tests and cases are.
const FOLDERS: [&str; 7] =
    ["cloud", "conformance/src", "conformance/tests", "connector", "engine", "schemas", "stages"];

/// A name is a test's when it has as many words.
const LEAST_WORDS: usize = 4;

fn read_sources(path: &Path, all: &mut String) -> Result<(), Failed> {
    let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    for path in entries.collect::<Result<Vec<PathBuf>, _>>()? {
        if path.is_dir() {
            read_sources(&path, all)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            all.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Returns how the sources declare a test or a case of this name; none when it is the name of something else.
fn declaration(name: &str) -> Option<String> {
    let is_case = name.split_once('-').is_some_and(|(group, number)| {
        group.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_test = name.split('_').count() >= LEAST_WORDS && !name.contains(' ');
    if is_case { Some(format!("\"{name}\"")) } else { is_test.then(|| format!("fn {name}(")) }
}

#[test]
fn every_test_that_the_documentation_names_is_there() -> Result<(), Failed> {
    let text = std::fs::read_to_string(here("../docs/testing.md"))?;
    let mut sources = String::new();
    for folder in FOLDERS {
        read_sources(&here("..").join(folder), &mut sources)?;
    }
    let declarations: Vec<_> = text.split('`').skip(1).step_by(2).filter_map(declaration).collect();
    ensure(declarations.len() >= 50, || format!("only {} names are found", declarations.len()))?;
    let absent: Vec<_> = declarations.into_iter().filter(|one| !sources.contains(one.as_str())).collect();
    ensure(absent.is_empty(), || format!("not there: {}", absent.join(", ")))
}
