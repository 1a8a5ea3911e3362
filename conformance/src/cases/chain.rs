//! Chains: one webhook, several destinations.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::destination::{Destination, Manners};
use crate::party::http as client;
use crate::party::process::Process;
use crate::party::receiver::{CHANNEL, Receiver, Setup, TOKEN};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a webhook may take to the end, tries included.
const SOON: Duration = Duration::from_secs(10);

/// How long is waited for something that must not happen.
const NEVER: Duration = Duration::from_millis(700);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "CHN-01",
        title: "a link that fails twice is tried alone, and one acknowledgement follows",
        proves: "G10",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(only_what_failed(stand)),
    },
    Case {
        id: "CHN-02",
        title: "a best-effort link that fails is counted; a required one that rejects parks, with its name and why",
        proves: "G10",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(best_effort_and_required(stand)),
    },
];

/// A connector.json that sends the channel's webhooks through a chain.
fn chained(receiver: &Receiver, chain: Value, config: Value) -> Value {
    json!({
        "cloud": { "url": format!("http://{}", receiver.address()), "token": TOKEN },
        "routes": { CHANNEL: { "chain": chain, "chain-config": config } },
    })
}

/// An item that sends to `destination` and tries again soon.
fn item(destination: &Destination) -> Value {
    json!({
        "module": "http_webhook",
        "module-config": { "url": destination.url() },
        "retry": { "initial_delay": 0.1, "max_delay": 0.2 },
    })
}

async fn only_what_failed(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let destinations =
        [Destination::start().await?, Destination::start().await?, Destination::start().await?];
    for (round, execution) in (1..).zip(["sequential", "parallel"]) {
        let chain = destinations.iter().map(item).collect();
        let mut connector = stand.connector(&chained(&receiver, chain, json!({ "execution": execution })))?;
        let before: Vec<usize> = destinations.iter().map(Destination::count).collect();
        destinations[1].answer_next([StatusCode::INTERNAL_SERVER_ERROR; 2]);
        let id = receiver.accepted(execution, "1").await?;
        let delivered = |stats: &crate::party::receiver::Stats| stats.count("messages_delivered") == round;
        receiver.settles("the webhook is delivered", SOON, delivered).await?;
        tokio::time::sleep(NEVER).await;
        let calls: Vec<_> =
            destinations.iter().zip(&before).map(|(one, before)| one.calls_from(*before)).collect();
        let counts: Vec<usize> = calls.iter().map(Vec::len).collect();
        ensure_eq(&format!("calls of each link, {execution}"), &counts, &vec![1, 3, 1])?;
        for call in calls.iter().flatten() {
            ensure_eq("the id", &call.header("x-webhook-connect-id").to_owned(), &id)?;
            ensure_eq("the delivery", &call.header("x-webhook-connect-attempt").to_owned(), &"1".to_owned())?;
        }
        connector.kill().await?;
    }
    Ok(())
}

async fn best_effort_and_required(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let (required, best_effort) = (Destination::start().await?, Destination::start().await?);
    let mut second = item(&best_effort);
    second["required"] = json!(false);
    let config = chained(&receiver, json!([item(&required), second]), json!({}));
    let (_connector, status) = connector_with_status(&stand, &config).await?;
    best_effort.behave(Manners { status: StatusCode::BAD_REQUEST, ..Manners::default() });
    receiver.accepted("a", "1").await?;
    let delivered = |stats: &crate::party::receiver::Stats| stats.count("messages_delivered") == 1;
    receiver.settles("the webhook is delivered all the same", SOON, delivered).await?;
    ensure_eq("calls of the links", &(required.count(), best_effort.count()), &(1, 1))?;
    ensure_eq("failures counted", &best_effort_failures(status).await?, &1)?;

    required.behave(Manners { status: StatusCode::UNPROCESSABLE_ENTITY, ..Manners::default() });
    let id = receiver.accepted("b", "2").await?;
    let parked = |stats: &crate::party::receiver::Stats| stats.count("messages_dead_lettered") == 1;
    receiver.settles("the webhook is parked", SOON, parked).await?;
    let letters = receiver.dead_letters(0).await?;
    ensure_eq("the id of the dead letter", &letters[0]["message_id"], &json!(id))?;
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    stand.note(format!("parked because: {reason}"));
    ensure(reason.contains("link 1 (http_webhook)") && reason.contains("422"), || {
        format!("a reason that names the link and its answer, found {reason:?}")
    })?;
    ensure_eq("calls of the required link", &required.count(), &2)
}

/// Starts a connector that shows its status, and returns where.
async fn connector_with_status(stand: &Stand, config: &Value) -> Result<(Process, SocketAddr), Failed> {
    let (path, log) = (stand.folder().join("connector.json"), stand.folder().join("connector.log"));
    std::fs::write(&path, config.to_string())?;
    let arguments = ["--config".as_ref(), path.as_os_str(), "--status".as_ref(), OsStr::new("127.0.0.1:0")];
    let mut process = Process::start(stand.binary()?, &arguments, &log)?;
    let find = |text: &str| {
        let line = text.lines().find(|line| line.contains("serving the status"))?;
        line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
    };
    let address = process.says("the connector shows its status", 0, SOON, find).await?;
    Ok((process, address))
}

/// Returns how many failures of best-effort links the connector has counted.
async fn best_effort_failures(status: SocketAddr) -> Result<u64, Failed> {
    until("the status counts", SOON, || async move {
        let shown = client::get(status, "/status", "").await?.json()?;
        let counters = shown["counters"].as_array().cloned().unwrap_or_default();
        let failures = counters.iter().filter(|one| one["metric"] == "best_effort_failures");
        let sum: u64 = failures.filter_map(|one| one["count"].as_u64()).sum();
        Ok(Some(sum).filter(|sum| *sum > 0))
    })
    .await
}
