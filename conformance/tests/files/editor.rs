//! What an editor makes of the schemas: asked of the JSON language service that VS Code uses, as an npm package that is
//! fetched, not copied.

use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::stand::built_binary;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::here;

/// The service. It runs on Node.js 18 and later.
const SERVICE: &str = "vscode-json-languageservice@5.4.3";

/// A package that has the schema of SARIF 2.1.0.
const SARIF: &str = "@microsoft/jest-sarif@1.0.0-beta.0";

/// Fetches the packages with npm into the target folder, once, and returns the folder.
fn fetch() -> Result<PathBuf, Failed> {
    let target = built_binary()?.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let kept = target.join("npm-editor");
    let is_whole = || {
        ["vscode-json-languageservice", "@microsoft/jest-sarif"]
            .iter()
            .all(|name| kept.join("node_modules").join(name).is_dir())
    };
    if is_whole() {
        return Ok(kept);
    }
    let scratch = TempDir::with_prefix_in("npm-editor-", &target)?.keep();
    let npm = Command::new("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", SERVICE, SARIF])
        .current_dir(&scratch)
        .output()
        .map_err(|error| Failed(format!("npm cannot be run: {error}")))?;
    ensure(npm.status.success(), || format!("npm failed: {}", String::from_utf8_lossy(&npm.stderr)))?;
    // Two tests may fetch at once; whoever is first keeps the place.
    if std::fs::rename(&scratch, &kept).is_ok() || is_whole() { Ok(kept) } else { Ok(scratch) }
}

/// Asks the service one question about each text.
fn ask(want: &str, texts: &[(&str, &str)]) -> Result<Vec<Vec<String>>, Failed> {
    let question = |(kind, text): &(&str, &str)| {
        let schema = here(&format!("../schemas/json/{kind}.schema.json"));
        json!({ "schema": schema, "text": text, "want": want })
    };
    answers(&texts.iter().map(question).collect::<Vec<_>>())
}

fn answers(questions: &[Value]) -> Result<Vec<Vec<String>>, Failed> {
    let (service, folder) = (fetch()?, TempDir::new()?);
    let file = folder.path().join("questions.json");
    std::fs::write(&file, json!(questions).to_string())?;
    let script = here("tests/files/editor.cjs");
    let node = Command::new("node")
        .arg(script)
        .arg(file)
        .env("NODE_PATH", service.join("node_modules"))
        .output()
        .map_err(|error| Failed(format!("Node.js cannot be run: {error}")))?;
    ensure(node.status.success(), || format!("node failed: {}", String::from_utf8_lossy(&node.stderr)))?;
    Ok(serde_json::from_str(&String::from_utf8(node.stdout)?)?)
}

#[test]
fn an_editor_completes_keys_modules_and_their_settings() -> Result<(), Failed> {
    let texts = [
        ("webhooks", r#"{"a": {"module": "webhook_connect", "module-config": {"channel": "c", |}}}"#),
        ("connector", r#"{"cloud": {"url": "u"}, "routes": {"a": {"module": "|"}}}"#),
        ("graph", r#"{"stages": {"a": {"module": "http_webhook", "module-config": {|}}}}"#),
        ("receiver", r#"{|}"#),
    ];
    let offered = ask("completion", &texts)?;
    let wanted: [&[&str]; 4] = [
        &["channel_token", "ttl_seconds", "overflow", "heartbeat_seconds"],
        &["\"http_webhook\"", "\"log\""],
        &["url", "method", "headers", "timeout"],
        &["listen", "buffer", "channel_token", "limits"],
    ];
    for (offered, wanted) in offered.iter().zip(wanted) {
        for name in wanted {
            ensure(offered.iter().any(|one| one == name), || format!("{name} is not among {offered:?}"))?;
        }
    }
    ensure(!offered[0].iter().any(|one| one == "channel"), || "what is there is offered again".to_owned())
}

#[test]
fn an_editor_shows_what_a_setting_means() -> Result<(), Failed> {
    let texts = [
        (
            "webhooks",
            r#"{"a": {"module": "webhook_connect", "module-config": {"channel": "c", "ttl_|seconds": 5}}}"#,
        ),
        ("connector", r#"{"routes": {"a": {"module": "log", "retry": {"max_|attempts": 5}}}}"#),
        ("receiver", r#"{"drain_|seconds": 5}"#),
        ("graph", r#"{"stages": {"a": {"module": "lo|g"}}}"#),
    ];
    let wanted = [
        "Seconds a webhook may wait for its delivery",
        "Tries per delivery, the first one included",
        "Seconds that deliveries in flight may take to finish",
        "Print a line about each webhook to standard output",
    ];
    for (shown, wanted) in ask("hover", &texts)?.iter().zip(wanted) {
        ensure(shown.join(" ").contains(wanted), || format!("wanted {wanted:?} in {shown:?}"))?;
    }
    Ok(())
}

#[test]
fn an_editor_marks_each_mistake_at_its_place_and_nothing_else() -> Result<(), Failed> {
    let texts = [
        (
            "webhooks",
            r#"{"$schema": "file:///schema.json", "_note": 1,
                "a": {"module": "webhook_connct", "hmca": {}, "data_type": "xml"},
                "b": {"module": "webhook_connect", "hmac": {"algorithm": "md5", "secret": "{$S}"}, "module-config":
                    {"channel": "c", "ttl_seconds": 0, "max_in_flight": "many", "max_connections": "{$MANY:3}"}}}"#,
        ),
        (
            "connector",
            r#"{"cloud": {"url": 5}, "rotues": {}, "routes": {
                "a": {"module": "http_webhook", "module-config": {"ulr": "x"}},
                "b": {"module": "http_webhook", "connection": "c", "module-config": {"timeout": 4000}},
                "c": {"module": "log", "retry": {"transient": [200]}}, "d": {"module": "kafak"}, "e": "log:"}}"#,
        ),
        ("receiver", r#"{"lisen": "x", "limits": {"overflow": "drop"}, "insecure_http": "{$OPEN:false}"}"#),
        ("graph", r#"{"stages": {"a": {"module": "log", "from": 5}, "b": {"from": ["a", "a.exhausted"]}}}"#),
    ];
    let marked = ask("marks", &texts)?;
    let wanted = [
        vec![
            r#""hmca" Property hmca is not allowed."#,
            r#""many" Incorrect type. Expected "integer"."#,
            r#""md5" Value is not accepted. Valid values: "sha256", "sha1", "sha384", "sha512"."#,
            r#""webhook_connct" Value is not accepted. Valid values: "webhook_connect", "http_webhook", "log", "save_to_disk"."#,
            r#""xml" Value is not accepted. Valid values: "json", "blob"."#,
            "0 Value is below the minimum of 1.",
        ],
        vec![
            r#""kafak" Value is not accepted. Valid values: "http_webhook", "log", "save_to_disk"."#,
            r#""module-config" Missing property "url"."#,
            r#""rotues" Property rotues is not allowed."#,
            r#""ulr" Property ulr is not allowed."#,
            "200 Value is below the minimum of 300.",
            "4000 Value is above the maximum of 3600.",
            r#"5 Incorrect type. Expected "string"."#,
        ],
        vec![
            r#""drop" Value is not accepted. Valid values: "reject", "drop_oldest"."#,
            r#""lisen" Property lisen is not allowed."#,
        ],
        vec![r#""b" Missing property "module"."#, r#"5 Incorrect type. Expected "string"."#],
    ];
    for (marked, wanted) in marked.iter().zip(&wanted) {
        ensure_eq("the marks", &marked.iter().map(String::as_str).collect::<Vec<_>>(), wanted)?;
    }
    Ok(())
}

#[test]
fn an_editor_marks_nothing_in_the_examples() -> Result<(), Failed> {
    let mut texts = Vec::new();
    for folder in std::fs::read_dir(here("../examples"))? {
        for file in std::fs::read_dir(folder?.path())? {
            let text = std::fs::read_to_string(file?.path())?;
            let (_, rest) = text.split_once("schemas/json/").unwrap_or_default();
            let kind = rest.split('.').next().unwrap_or_default().to_owned();
            let place = format!("../../schemas/json/{kind}.schema.json");
            texts.push((kind, text.replace(&place, "file:///schema.json")));
        }
    }
    ensure(texts.len() >= 8, || "the examples are not there".to_owned())?;
    let texts: Vec<(&str, &str)> = texts.iter().map(|(kind, text)| (kind.as_str(), text.as_str())).collect();
    for ((_, text), marks) in texts.iter().zip(ask("marks", &texts)?) {
        ensure(marks.is_empty(), || format!("{marks:?} in {text}"))?;
    }
    Ok(())
}

#[test]
fn what_check_tells_as_sarif_is_sarif() -> Result<(), Failed> {
    let packages = fetch()?;
    let schema = packages.join("node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
    ensure(schema.is_file(), || format!("{} is missing", schema.display()))?;
    let told = std::fs::read_to_string(here("tests/files/golden/check/sarif.told"))?;
    let report = told.split("-- exit").next().unwrap_or_default();
    let mut log: Value = serde_json::from_str(report)?;
    // The service would look for the schema that the report names.
    log.as_object_mut().map(|log| log.remove("$schema"));
    let mut wrong = log.clone();
    wrong["runs"][0]["results"][0]["level"] = json!("fatal");
    let question = |log: &Value| json!({ "schema": schema, "text": log.to_string(), "want": "marks" });
    let marks = answers(&[question(&log), question(&wrong)])?;
    ensure_eq("the marks", &marks[0], &Vec::new())?;
    ensure(!marks[1].is_empty(), || "the schema does not judge".to_owned())
}
