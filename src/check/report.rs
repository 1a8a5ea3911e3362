//! How `check` tells what it found: for people, for programs, and as SARIF 2.1.0.

use std::path::Path;

use engine::config::{Fault, Place};
use serde_json::{Value, json};

use super::Checked;

/// Where the schema of SARIF is.
const SARIF: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One complaint about one file.
struct Finding<'a> {
    checked: &'a Checked,
    is_fault: bool,
    fault: &'a Fault,
    place: Place,
}

impl Finding<'_> {
    fn level(&self) -> &'static str {
        if self.is_fault { "error" } else { "warning" }
    }
}

/// Returns what was found, in the order of the files and of their lines.
fn findings(checked: &[Checked]) -> Vec<Finding<'_>> {
    let mut all = Vec::new();
    for checked in checked {
        let file = &checked.file;
        let faults = file.faults.iter().map(|fault| (true, fault));
        let warnings = file.faults.warnings().map(|fault| (false, fault));
        let mut own: Vec<_> = faults
            .chain(warnings)
            .map(|(is_fault, fault)| Finding { checked, is_fault, fault, place: fault.place(&file.source) })
            .collect();
        own.sort_by_key(|finding| finding.place);
        all.extend(own);
    }
    all
}

/// Tells for people: each file, its faults and then its warnings.
pub(super) fn human(checked: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { file, kind } in checked {
        let (name, faults) = (file.path.display().to_string(), &file.faults);
        if faults.is_empty() {
            let kind = kind.map_or("file", |kind| kind.name());
            text += &format!("{name}: no problem with this {kind} file\n");
        } else {
            text += &faults.render(&name, &file.source);
        }
        text += &faults.render_warnings(&file.source);
    }
    text
}

/// Tells for programs.
pub(super) fn json(checked: &[Checked]) -> String {
    let findings = findings(checked);
    let faults = findings.iter().filter(|finding| finding.is_fault).count();
    let files: Vec<Value> = checked
        .iter()
        .map(|checked| json!({ "file": name(&checked.file.path), "kind": checked.kind.map(|kind| kind.name()) }))
        .collect();
    let told: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "file": name(&finding.checked.file.path),
                "level": finding.level(),
                "pointer": finding.fault.at.as_str(),
                "line": finding.place.line,
                "column": finding.place.column,
                "problem": finding.fault.problem,
                "help": finding.fault.help,
            })
        })
        .collect();
    let report =
        json!({ "files": files, "findings": told, "faults": faults, "warnings": findings.len() - faults });
    format!("{report:#}\n")
}

/// Tells as SARIF 2.1.0.
pub(super) fn sarif(checked: &[Checked]) -> String {
    let results: Vec<Value> = findings(checked).iter().map(result).collect();
    let rule = |id: &str, text: &str| json!({ "id": id, "shortDescription": { "text": text } });
    let driver = json!({
        "name": "webhook-connect",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": [
            rule("fault", "The configuration is refused at start."),
            rule("warning", "The configuration deserves a look."),
        ],
    });
    let run = json!({ "tool": { "driver": driver }, "columnKind": "unicodeCodePoints", "results": results });
    let log = json!({ "$schema": SARIF, "version": "2.1.0", "runs": [run] });
    format!("{log:#}\n")
}

fn result(finding: &Finding<'_>) -> Value {
    let Finding { checked, fault, place, .. } = finding;
    let (rule, index) = if finding.is_fault { ("fault", 0) } else { ("warning", 1) };
    let help = fault.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    json!({
        "ruleId": rule,
        "ruleIndex": index,
        "level": finding.level(),
        "message": { "text": format!("{}{help}", fault.problem) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(&checked.file.path) },
                "region": { "startLine": place.line, "startColumn": place.column },
            },
            "logicalLocations": [{ "fullyQualifiedName": fault.at.to_string(), "kind": "property" }],
        }],
    })
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Writes a path as a URI: relative paths stay relative.
fn uri(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte))
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri(Path::new("a b/ü.json")), "a%20b/%C3%BC.json");
        assert_eq!(uri(Path::new("/etc/w.json")), "file:///etc/w.json");
    }
}
