//! The plan of a simple file is an explicit graph that runs the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::destination::{Call, Destination};
use conformance::party::http as client;
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::party::sender::{DELIVERY, signature};
use conformance::party::wait::until;
use conformance::stand::built_binary;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tempfile::TempDir;

const SECRET: &str = "the secret of the senders";

const TOKEN: &str = "ch_tok_of_the_plan";

/// Headers that are new with every webhook or every run.
const NEW: [&str; 4] =
    ["x-webhook-connect-id", "x-webhook-connect-received-at", "webhook-id", "idempotency-key"];

/// Writes the simple files: two entries that feed one channel, a third for another, and routes with all there is.
fn write_files(folder: &Path, destination: &Destination) -> Result<(), Failed> {
    let target = |query: &str| format!("{}&{query}", destination.url());
    let webhooks = json!({
        "signed": {
            "module": "webhook_connect",
            "module-config": { "channel": "events", "max_deliveries": "{$TRIES:5}" },
            "hmac": { "secret": "{$SENDERS}", "header": "X-Hub-Signature-256" },
            "response": { "status": 202 },
        },
        "bearer": {
            "data_type": "blob",
            "module": "webhook_connect",
            "module-config": { "channel": "events", "max_deliveries": 5 },
            "authorization": "Bearer {$SENDERS}",
        },
        "anybody": {
            "data_type": "blob",
            "module": "webhook_connect",
            "module-config": { "channel": "open-door", "channel_token": "{$CHANNEL_TOKEN}" },
        },
        "direct": {
            "data_type": "blob",
            "module": "http_webhook",
            "module-config": { "url": target("way=direct") },
            "authorization": "Bearer {$SENDERS}",
            "retry": { "max_attempts": "{$AGAIN:2}" },
        },
        "forked": {
            "data_type": "blob",
            "chain": [
                { "module": "http_webhook", "module-config": { "url": target("way=forked-1") } },
                { "module": "save_to_disk", "module-config": { "path": "saved" }, "required": false },
            ],
            "dead_letter": { "module": "log" },
            "authorization": "Bearer {$SENDERS}",
        },
    });
    let receiver = json!({ "channel_token": "{$CHANNEL_TOKEN}", "limits": { "ack_timeout_seconds": 20 } });
    let connector = json!({
        "cloud": { "url": "{$CLOUD}", "token": "{$CHANNEL_TOKEN}", "channels": ["events", "open-door"] },
        "routes": {
            "events": {
                "module": "http_webhook",
                "connection": "local",
                "module-config": { "url": target("way=events"), "headers": { "x-api-key": "{$KEY:k}" } },
                "retry": { "max_attempts": "{$AGAIN:2}" },
            },
            "open-door": {
                "chain": [
                    { "module": "http_webhook", "module-config": { "url": target("way={$WAY}") } },
                    { "module": "http_webhook", "module-config": { "url": target("way=second") } },
                ],
                "chain-config": { "execution": "parallel" },
            },
        },
        "connections": { "local": { "type": "http", "timeout": 5, "method": "PUT" } },
        "max_in_flight": 7,
    });
    for (name, file) in
        [("webhooks.json", webhooks), ("receiver.json", receiver), ("connector.json", connector)]
    {
        std::fs::write(folder.join(name), file.to_string())?;
    }
    Ok(())
}

/// Has the binary print the plan of `file` as JSON, without a single variable being set.
pub(super) fn write_plan(folder: &Path, file: &str, more: &[&str], graph: &str) -> Result<(), Failed> {
    let mut command = Command::new(built_binary()?);
    command.env_clear().current_dir(folder).args(["plan", file, "--format", "json"]).args(more);
    let output = command.output()?;
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(output.status.success(), || format!("no plan of {file}: {complained}"))?;
    let text = String::from_utf8(output.stdout)?;
    for secret in [SECRET, TOKEN] {
        ensure(!text.contains(secret), || format!("the plan shows a secret: {text}"))?;
    }
    std::fs::write(folder.join(graph), text)?;
    Ok(())
}

/// The command line of the binary in its folder, with every variable the files need.
fn command(folder: &Path, cloud: &str, arguments: &[&str]) -> Result<Vec<String>, Failed> {
    let own = format!("cd '{}' && exec '{}' \"$@\"", folder.display(), built_binary()?.display());
    let variables = [("SENDERS", SECRET), ("CHANNEL_TOKEN", TOKEN), ("WAY", "open"), ("CLOUD", cloud)];
    let variables = variables.map(|(name, value)| format!("{name}={value}"));
    Ok(["env".to_owned()]
        .into_iter()
        .chain(variables)
        .chain(["sh", "-c", &own, "sh"].map(str::to_owned))
        .chain(arguments.iter().map(|argument| (*argument).to_owned()))
        .collect())
}

/// How many calls of the destination come of the webhooks that `run` posts.
const CALLS: usize = 6;

/// How many files come of them.
const SAVED: usize = 2;

/// Returns how many files were saved.
fn saved(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("saved")).map_or(0, Iterator::count)
}

/// What was answered and what arrived, without what is new in every run.
#[derive(Debug, PartialEq)]
struct Seen {
    answers: Vec<u16>,
    arrived: BTreeMap<String, Vec<String>>,
}

/// Runs both ends from `files` and posts a handful of webhooks, good and bad.
async fn run(folder: &Path, near: &str, far: &str, destination: &Destination) -> Result<Seen, Failed> {
    let (before, saved_before) = (destination.count(), saved(folder));
    let data = format!("embedded:{}", folder.join(format!("data-{near}")).display());
    let arguments = ["receiver", "--config", near, "--receiver-config", "receiver.json", "--buffer", &data];
    // A graph says itself where its webhooks are kept.
    let arguments = if near == "graph.json" { &arguments[..5] } else { &arguments[..] };
    let log = folder.join(format!("{near}.log"));
    let (_receiver, address) = start_listening(&command(folder, "", arguments)?, "127.0.0.1:0", &log).await?;
    let far_command = command(folder, &format!("http://{address}"), &["--config", far])?;
    let words: Vec<_> = far_command.iter().skip(1).map(AsRef::as_ref).collect();
    let _connector = Process::start(Path::new("env"), &words, &folder.join(format!("{far}.log")))?;
    let mut answers = Vec::new();
    for (webhook, body, header, value) in [
        ("signed", r#"{"a":1}"#, "x-hub-signature-256", signature(SECRET, br#"{"a":1}"#)),
        ("signed", "{not json", "x-hub-signature-256", signature(SECRET, b"{not json")),
        ("signed", "{}", "x-hub-signature-256", signature("another", b"{}")),
        ("bearer", "\u{1}blob", "authorization", format!("Bearer {SECRET}")),
        ("bearer", "x", "authorization", "Bearer wrong".to_owned()),
        ("anybody", "free", "x-note", "n".to_owned()),
        ("nobody", "x", "x-note", "n".to_owned()),
        ("direct", "\u{2}blob", "authorization", format!("Bearer {SECRET}")),
        ("forked", "fork", "authorization", format!("Bearer {SECRET}")),
    ] {
        let request = Request::post(format!("/webhook/{webhook}?q=1"))
            .header("host", "localhost")
            .header(DELIVERY, format!("{webhook}-{}", answers.len()))
            .header(header, value)
            .body(Full::new(Bytes::from(body)))?;
        answers.push(client::send(address, request).await?.status.as_u16());
    }
    let arrived = || async {
        let (calls, files) = (destination.count() - before, saved(folder) - saved_before);
        Ok((calls >= CALLS && files >= SAVED).then_some(()))
    };
    until("what was accepted arrives", Duration::from_secs(20), arrived).await?;
    let calls = destination.calls_from(before);
    let name = |call: &Call| format!("{} {}", call.header(DELIVERY), call.target);
    let arrived = calls.iter().map(|call| (name(call), shown(call)));
    Ok(Seen { answers, arrived: arrived.collect() })
}

fn shown(call: &Call) -> Vec<String> {
    let headers = call.headers.iter().filter(|(name, _)| !NEW.contains(&name.as_str()));
    let mut lines: Vec<String> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    lines.sort();
    lines.extend([call.method.to_string(), call.target.clone(), format!("{:?}", call.body)]);
    lines
}

#[tokio::test]
async fn a_simple_file_and_its_plan_run_the_same() -> Result<(), Failed> {
    let (folder, destination) = (TempDir::new()?, Destination::start().await?);
    write_files(folder.path(), &destination)?;
    write_plan(folder.path(), "webhooks.json", &["--receiver-config", "receiver.json"], "graph.json")?;
    write_plan(folder.path(), "connector.json", &[], "routes.json")?;
    let simple = run(folder.path(), "webhooks.json", "connector.json", &destination).await?;
    let explicit = run(folder.path(), "graph.json", "routes.json", &destination).await?;
    ensure_eq("the answers", &simple.answers, &vec![202, 400, 401, 200, 401, 200, 404, 200, 200])?;
    ensure_eq("what arrives", &simple.arrived.len(), &CALLS)?;
    ensure_eq("both ways", &explicit, &simple)?;
    ensure_eq("files of both runs", &saved(folder.path()), &(2 * SAVED))
}

#[tokio::test]
async fn a_plan_that_hides_a_secret_is_refused_with_its_pointer() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let file =
        json!({ "cloud": { "url": "http://127.0.0.1:1", "token": "literal" }, "routes": { "a": "log:" } });
    std::fs::write(folder.path().join("connector.json"), file.to_string())?;
    write_plan(folder.path(), "connector.json", &[], "graph.json")?;
    let mut command = Command::new(built_binary()?);
    let output = command.env_clear().current_dir(folder.path()).args(["--config", "graph.json"]).output()?;
    let complained = String::from_utf8(output.stderr)?;
    ensure_eq("the exit code", &output.status.code(), &Some(2))?;
    let wanted =
        "/stages/a.subscribe/module-config/token  line 8     `***` stands where a secret was left out";
    ensure(complained.contains(wanted), || complained.clone())
}
