//! What a connector says that loses its receiver and gets it back, to the letter. `GOLDEN=write` writes the golden file anew;
//! read the difference before you keep it.

use std::path::Path;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::destination::Destination;
use conformance::party::receiver::{CHANNEL, Setup, TOKEN};
use conformance::stand::{Buffer, Stand, built_binary};
use serde_json::json;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);

/// What differs from run to run.
const MASKED: [&str; 6] = ["id", "session", "pid", "ms", "next_try_ms", "bytes"];

/// Masks a log line: its time, ports, and the fields that differ.
fn masked(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if let Some(time) = words.first_mut() {
        "TIME".clone_into(time);
    }
    for word in &mut words {
        if let Some((name, _)) = word.split_once('=').filter(|(name, _)| MASKED.contains(name)) {
            *word = format!("{name}=*");
        } else if let Some((before, rest)) = word.split_once("127.0.0.1:") {
            let after = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            *word = format!("{before}127.0.0.1:PORT{after}");
        }
    }
    words.join(" ")
}

/// Masks a log. How often is tried in vain is chance: tries that look alike are shown once.
fn shown(log: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().map(masked) {
        if !lines.iter().rev().take(2).any(|before| *before == line) {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

#[tokio::test]
async fn a_connector_tells_how_it_loses_its_receiver_and_gets_it_back() -> Result<(), Failed> {
    let stand = Stand::new(built_binary()?, Buffer::Embedded)?;
    let mut receiver = stand.receiver(Setup::default()).await?;
    let destination = Destination::start().await?;
    let mut connector = stand.connector(&json!({
        "cloud": { "url": format!("http://{}", receiver.address()), "token": TOKEN },
        "routes": { CHANNEL: { "module": "http_webhook", "module-config": { "url": destination.url() } } },
        "reconnect": { "initial_seconds": 0.2, "max_seconds": 0.2 },
        "connector_id": "dc-1",
    }))?;
    let says =
        |wanted: &'static str, times| move |log: &str| (log.matches(wanted).count() >= times).then_some(());
    receiver.accepted("one", "1").await?;
    connector.says("the first is delivered", 0, SOON, says("outcome=\"delivered\"", 1)).await?;
    receiver.kill().await?;
    connector.says("nobody listens", 0, SOON, says("Connection refused", 3)).await?;
    receiver.restart().await?;
    receiver.accepted("two", "2").await?;
    connector.says("the second is delivered", 0, SOON, says("outcome=\"delivered\"", 2)).await?;
    connector.terminate().await?;
    ensure(connector.ended(SOON).await?.success(), || "it ends well".to_owned())?;
    ensure_eq("calls of the destination", &destination.count(), &2)?;
    let shown = shown(&connector.log()?);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lost_receiver.log");
    if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
        std::fs::write(&golden, &shown)?;
    }
    ensure(std::fs::read_to_string(&golden).unwrap_or_default() == shown, || shown.clone())
}
