//! Every complaint about a file that the sources can make stands in a golden file or a case, so that somebody has read it
//! as users do.

use std::path::{Path, PathBuf};

use conformance::case::{Failed, ensure};

use crate::here;

/// Where complaints are made.
const SOURCES: [&str; 6] = ["engine/src", "schemas/src", "stages/src", "cloud/src", "connector/src", "src"];

/// What begins a complaint in the sources.
const BEGINNINGS: [&str; 4] = ["faults.add(", "faults.warn(", "let problem = ", "Complaint::new("];

/// Complaints that no file can cause when it is checked alone: about a running receiver's new file, about a secret in Vault,
/// and one that stands for what the types rule out.
const ELSEWHERE: [&str; 3] =
    ["the buffer cannot change while the receiver runs", "Vault has no field ", "expected one key"];

/// The shortest part of a complaint that tells it from others.
const LEAST: usize = 8;

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<(), Failed> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, ending, found)?;
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    Ok(())
}

/// Returns the text literal that begins behind the start of `source`, within the same statement.
fn literal(source: &str) -> Option<String> {
    let statement = source.split(';').next()?;
    let begins = statement.find('"')? + 1;
    let (mut text, mut escaped) = (String::new(), false);
    for c in source[begins..].chars() {
        match (escaped, c) {
            (false, '"') => break,
            (false, '\\') => escaped = true,
            // A line that goes on: its indentation is not part of the text.
            (true, '\n') => text.push('\n'),
            _ => {
                escaped = false;
                text.push(c);
            }
        }
    }
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    Some(format!("{first}{}", rest.trim_start()))
}

/// Returns the longest part of a text that is the same whatever is filled in.
fn fixed_part(text: &str) -> String {
    let mut parts = vec![String::new()];
    let mut rest = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    while let Some((before, inside)) = rest.clone().split_once('{') {
        if let Some(last) = parts.last_mut() {
            last.push_str(before);
        }
        parts.push(String::new());
        rest = inside.split_once('}').map_or(String::new(), |(_, after)| after.to_owned());
    }
    if let Some(last) = parts.last_mut() {
        last.push_str(&rest);
    }
    let longest = parts.into_iter().max_by_key(String::len).unwrap_or_default();
    longest.replace('\u{1}', "{").replace('\u{2}', "}")
}

#[test]
fn every_complaint_stands_in_a_golden_file() -> Result<(), Failed> {
    let (mut told, mut sources) = (Vec::new(), Vec::new());
    files(&here("tests/files/golden"), ".told", &mut told)?;
    files(&here("../schemas/tests/cases"), ".json", &mut told)?;
    for folder in SOURCES {
        files(&here("..").join(folder), ".rs", &mut sources)?;
    }
    let told: Result<Vec<String>, std::io::Error> = told.iter().map(std::fs::read_to_string).collect();
    let told = told?.join("\n").replace("\\\"", "\"");
    let (mut count, mut untold) = (0, Vec::new());
    for path in sources.iter().filter(|path| !path.to_string_lossy().contains("/tests")) {
        let source = std::fs::read_to_string(path)?;
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for beginning in BEGINNINGS {
            for (at, _) in source.match_indices(beginning) {
                let part = fixed_part(&literal(&source[at + beginning.len()..]).unwrap_or_default());
                // A short text is a key, and what it is a key of has its complaint elsewhere.
                if part.trim().len() < LEAST || !part.contains(' ') || ELSEWHERE.contains(&part.as_str()) {
                    continue;
                }
                count += 1;
                if !told.contains(&part) {
                    untold.push(format!("{}: {part}", path.display()));
                }
            }
        }
    }
    ensure(count >= 90, || format!("only {count} complaints are found in the sources"))?;
    ensure(untold.is_empty(), || format!("no golden file has:\n{}", untold.join("\n")))
}
