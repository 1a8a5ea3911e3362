//! The tests that the documentation names are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use conformance::case::{Failed, ensure};
use conformance::cases;

use crate::here;

/// Where tests and cases are.
const FOLDERS: [&str; 7] =
    ["cloud", "conformance/src", "conformance/tests", "connector", "engine", "schemas", "stages"];

/// A name is a test's when it has as many words.
const LEAST_WORDS: usize = 4;

/// Adds the tests that the sources in a folder declare.
fn declared(path: &Path, all: &mut BTreeSet<String>) -> Result<(), Failed> {
    let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    for path in entries.collect::<Result<Vec<PathBuf>, _>>()? {
        if path.is_dir() {
            declared(&path, all)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            declared_in(&std::fs::read_to_string(&path)?, all);
        }
    }
    Ok(())
}

/// Adds the functions that follow the attribute of a test.
fn declared_in(source: &str, all: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//")) {
            let name = rest.split('(').next().filter(|_| std::mem::take(&mut is_test));
            all.extend(name.map(str::to_owned));
        }
    }
}

/// Tells whether a name is that of a test or a case.
fn is_a_test(name: &str) -> bool {
    let is_case = name.split_once('-').is_some_and(|(group, number)| {
        group.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_case || name.split('_').count() >= LEAST_WORDS && !name.contains(' ')
}

#[test]
fn every_test_that_the_documentation_names_is_there() -> Result<(), Failed> {
    let text = std::fs::read_to_string(here("../docs/testing.md"))?;
    let cases = cases::all().into_iter().map(|case| case.id.to_owned());
    let mut tests: BTreeSet<String> = cases.chain([cases::AUDIT.to_owned()]).collect();
    for folder in FOLDERS {
        declared(&here("..").join(folder), &mut tests)?;
    }
    let named: Vec<_> = text.split('`').skip(1).step_by(2).filter(|name| is_a_test(name)).collect();
    ensure(named.len() >= 50, || format!("only {} names are found", named.len()))?;
    let absent: Vec<_> = named.into_iter().filter(|name| !tests.contains(*name)).collect();
    ensure(absent.is_empty(), || format!("not there: {}", absent.join(", ")))
}
