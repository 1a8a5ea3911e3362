//! A new configuration while webhooks are on their way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::cases::fidelity::to_http;
use crate::party::destination::Destination;
use crate::party::http::{self, Answer};
use crate::party::process::Process;
use crate::party::receiver::{ADMIN, Receiver, SECRET, Setup, WEBHOOK};
use crate::party::sender::{self, DELIVERY, Load};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a change may take to be in force.
const IN_FORCE: Duration = Duration::from_secs(20);

/// How many webhooks must pass between two changes.
const BETWEEN: usize = 100;

pub(super) const CASES: &[Case] = &[Case {
    id: "RLD-01",
    title: "A new configuration under load: routes are added, changed, removed; a wrong one changes nothing; nothing is lost",
    proves: "G13",
    needs_durability: false,
    needs: Need::Settings("files that change while it runs"),
    varies: Varies::No,
    run: |stand| Box::pin(reload(stand)),
}];

async fn reload(stand: Stand) -> Result<(), Failed> {
    let setup = Setup::limits(json!({ "max_queue_size": 1_000_000 }));
    let webhooks = setup.webhooks();
    let mut receiver = stand.receiver(setup).await?;
    let (first, second) = (Destination::start().await?, Destination::start().await?);
    let mut connector = stand.connector(&to_http(&receiver, &first.url()))?;
    let load = Load::start(receiver.address(), 4, 200);
    first.reached(BETWEEN).await?;

    receiver_changes(&stand, &mut receiver, webhooks).await?;
    first.reached(first.count() + BETWEEN).await?;
    connector_changes(&stand, &mut connector, &to_http(&receiver, &second.url())).await?;
    let before = first.count();
    second.reached(BETWEEN).await?;
    ensure_eq("what the old destination gets after the change", &(first.count() - before), &0)?;

    let refused = load.refused();
    let accepted = load.end().await;
    let empty = |stats: &crate::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    receiver.settles("everything is delivered", Duration::from_secs(60), empty).await?;
    let calls: Vec<_> = first.calls().into_iter().chain(second.calls()).collect();
    let seen: BTreeSet<_> = calls.iter().map(|call| call.header(DELIVERY).to_owned()).collect();
    let lost: Vec<_> = accepted.difference(&seen).collect();
    let twice = calls.len() - seen.len();
    stand.note(format!(
        "{} answered 2xx, {} lost, {twice} delivered twice, {refused} refused",
        accepted.len(),
        lost.len()
    ));
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    ensure_eq("senders that were refused", &refused, &0)
}

/// Changes, adds and removes webhooks of the receiver, by every way there is.
async fn receiver_changes(stand: &Stand, receiver: &mut Receiver, first: Value) -> Result<(), Failed> {
    let (path, address) = (stand.folder().join("webhooks.json"), receiver.address());
    // The pipeline under load is replaced, and another is added.
    let mut changed = first;
    changed[WEBHOOK]["module-config"]["max_queue_size"] = json!(999_999);
    changed["added"] = changed[WEBHOOK].clone();
    changed["added"]["module-config"]["channel"] = json!("added");
    renamed_over(&path, &changed.to_string())?;
    ensure_eq("a webhook that is not there yet", &status_of(address, "added").await?, &404)?;
    let answer = ask(address, json!({ "validate_only": true })).await?;
    ensure_eq("what would change", &answer.json()?["details"]["added"], &json!(["added"]))?;
    receiver.process()?.signal("HUP").await?;
    becomes(address, "added", 401).await?;

    // A file that is no JSON, written in place and noticed.
    let from = receiver.process()?.log()?.len();
    std::fs::write(&path, "{\"in\": {\"module\": \"webhook_connect\",")?;
    let told = |text: &str| text.contains("the one before stays in force").then_some(());
    receiver.process()?.says("the fault is told", from, IN_FORCE, told).await?;
    let answer = ask(address, json!({})).await?;
    ensure_eq("the answer to an operator", &answer.status.as_u16(), &400)?;
    let details = answer.json()?["details"].to_string();
    ensure(details.contains("line 1"), || format!("the place of the fault, found {details}"))?;
    ensure_eq("a webhook of the configuration in force", &status_of(address, "added").await?, &401)?;

    // JSON that makes no sense.
    let mut unusable = changed.clone();
    unusable["added"]["module-config"]["channel"] = json!("");
    std::fs::write(&path, unusable.to_string())?;
    ensure_eq("the answer", &ask(address, json!({})).await?.status.as_u16(), &400)?;

    // The added one goes, with a webhook that nobody has taken yet; the file is linked anew.
    let body = "{}";
    let posted = Request::post("/webhook/added")
        .header("host", "localhost")
        .header("x-hub-signature-256", sender::signature(SECRET, body.as_bytes()));
    let answer = http::send(address, posted.body(Full::from(body))?).await?;
    ensure_eq("the answer to a webhook", &answer.status.as_u16(), &200)?;
    let (target, mut last) = (stand.folder().join("webhooks.v2.json"), changed.clone());
    last.as_object_mut().map(|webhooks| webhooks.remove("added"));
    std::fs::write(&target, last.to_string())?;
    let link = stand.folder().join("webhooks.link");
    std::os::unix::fs::symlink(&target, &link)?;
    std::fs::rename(&link, &path)?;
    becomes(address, "added", 404).await?;

    // It comes back, and finds its webhook.
    renamed_over(&path, &changed.to_string())?;
    let answer = ask(address, json!({})).await?;
    ensure_eq("what was added", &answer.json()?["details"]["added"], &json!(["added"]))?;
    until("the added channel has its webhook", IN_FORCE, || async move {
        let figures =
            http::get(address, "/admin/webhook-connect/channels/added/stats", ADMIN).await?.json()?;
        Ok((figures["messages_queued"] == json!(1)).then_some(()))
    })
    .await
}

/// Has the connector's route lead elsewhere, after a file that is at fault.
async fn connector_changes(stand: &Stand, connector: &mut Process, config: &Value) -> Result<(), Failed> {
    let path = stand.folder().join("connector.json");
    let mut wrong = config.clone();
    wrong["routes"]["events"]["module"] = json!("http_webhok");
    let from = connector.log()?.len();
    renamed_over(&path, &wrong.to_string())?;
    let told = |text: &str| text.contains("did you mean `http_webhook`").then_some(());
    connector.says("the fault is told", from, IN_FORCE, told).await?;
    let from = connector.log()?.len();
    renamed_over(&path, &config.to_string())?;
    let told = |text: &str| text.contains("the configuration was read again").then_some(());
    connector.says("the change is told", from, IN_FORCE, told).await?;
    let ended = |text: &str| text.contains("connected").then_some(());
    connector.says("the new route is connected", from, IN_FORCE, ended).await
}

fn renamed_over(path: &Path, text: &str) -> Result<(), Failed> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}

async fn status_of(address: SocketAddr, webhook: &str) -> Result<u16, Failed> {
    let request = Request::post(format!("/webhook/{webhook}")).header("host", "localhost");
    Ok(http::send(address, request.body(Full::default())?).await?.status.as_u16())
}

async fn becomes(address: SocketAddr, webhook: &str, status: u16) -> Result<(), Failed> {
    until(&format!("`{webhook}` answers {status}"), IN_FORCE, || async move {
        Ok((status_of(address, webhook).await? == status).then_some(()))
    })
    .await
}

async fn ask(address: SocketAddr, body: Value) -> Result<Answer, Failed> {
    let request = Request::post("/admin/reload-config")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {ADMIN}"));
    http::send(address, request.body(Full::from(body.to_string()))?).await
}
