//! Direct mode against the real binary: entries that the receiver delivers itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::destination::Destination;
use conformance::party::http as client;
use conformance::party::process::Process;
use conformance::party::receiver::{ADMIN, start_listening};
use conformance::party::wait::until;
use conformance::stand::built_binary;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a webhook may take to the end, tries included.
const SOON: Duration = Duration::from_secs(15);

/// A receiver that delivers by itself, and its folder.
struct Rig {
    folder: TempDir,
    process: Process,
    address: SocketAddr,
}

impl Rig {
    async fn start(entry: Value) -> Result<Self, Failed> {
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("webhooks.json"), json!({ "in": entry }).to_string())?;
        let (process, address) = Self::run(folder.path(), "127.0.0.1:0").await?;
        Ok(Self { folder, process, address })
    }

    async fn run(folder: &Path, listen: &str) -> Result<(Process, SocketAddr), Failed> {
        let config = folder.join("webhooks.json").display().to_string();
        let buffer = format!("embedded:{}", folder.join("data").display());
        let binary = built_binary()?.display().to_string();
        let command = [&binary, "receiver", "--config", &config, "--buffer", &buffer, "--admin-token", ADMIN];
        start_listening(&command.map(str::to_owned), listen, &folder.join("receiver.log")).await
    }

    async fn post(&self, authorization: &str) -> Result<StatusCode, Failed> {
        Ok(self.send(authorization).await?.status)
    }

    async fn send(&self, authorization: &str) -> Result<client::Answer, Failed> {
        let request = Request::post("/webhook/in").header("host", "localhost");
        let request = request.header("authorization", authorization).body(Full::from("{\"a\": 1}"))?;
        client::send(self.address, request).await
    }

    async fn admin(&self, what: &str) -> Result<Value, Failed> {
        client::get(self.address, &format!("/admin/webhook-connect/channels/direct:in/{what}"), ADMIN)
            .await?
            .json()
    }

    /// Waits until a figure is as wanted, and checks the audit.
    async fn settles(&self, figure: &str, wanted: i64) -> Result<(), Failed> {
        until(&format!("{figure} is {wanted}"), SOON, || async move {
            let stats = self.admin("stats").await?;
            ensure_eq("the imbalance", &stats["audit_imbalance"], &json!(0))?;
            Ok((stats[figure] == json!(wanted)).then_some(()))
        })
        .await
    }
}

#[tokio::test]
async fn a_webhook_is_stored_and_delivered_and_survives_a_crash_meanwhile() -> Result<(), Failed> {
    let mut destination = Destination::start().await?;
    let entry = json!({
        "module": "http_webhook",
        "module-config": { "url": destination.url() },
        "basic_auth": { "username": "u", "password": "p" },
        "retry": { "initial_delay": 0.1, "max_delay": 0.5 },
    });
    let mut rig = Rig::start(entry).await?;
    let stranger = rig.send("Basic dTpx").await?;
    ensure_eq("a stranger", &stranger.status, &StatusCode::UNAUTHORIZED)?;
    ensure_eq(
        "the challenge",
        &stranger.headers["www-authenticate"].to_str().unwrap_or_default(),
        &r#"Basic realm="webhooks", charset="UTF-8""#,
    )?;
    ensure_eq("the sender", &rig.post("Basic dTpw").await?, &StatusCode::OK)?;
    rig.settles("messages_delivered", 1).await?;
    destination.go_down().await;
    ensure_eq("while it is down", &rig.post("Basic dTpw").await?, &StatusCode::OK)?;
    rig.process.kill().await?;
    destination.come_back().await?;
    (rig.process, rig.address) = Rig::run(rig.folder.path(), &rig.address.to_string()).await?;
    rig.settles("messages_delivered", 2).await?;
    let calls = destination.calls();
    ensure(calls.iter().all(|call| &call.body[..] == b"{\"a\": 1}"), || "the same bytes".to_owned())?;
    rig.process.terminate().await?;
    let ended = rig.process.ended(SOON).await?;
    ensure(ended.success(), || format!("an orderly end, found {ended}"))
}

#[tokio::test]
async fn what_a_destination_rejects_goes_to_the_dead_letter_or_to_the_dead_letters() -> Result<(), Failed> {
    let destination = Destination::start().await?;
    destination.answer_next([StatusCode::BAD_REQUEST; 2]);
    let saved = TempDir::new()?;
    let folder = json!({ "path": saved.path() });
    let mut entry = json!({
        "module": "http_webhook",
        "module-config": { "url": destination.url() },
        "authorization": "Bearer t",
        "dead_letter": { "module": "save_to_disk", "module-config": folder },
    });
    let rig = Rig::start(entry.clone()).await?;
    ensure_eq("the sender", &rig.post("Bearer t").await?, &StatusCode::OK)?;
    rig.settles("messages_delivered", 1).await?;
    ensure_eq("files saved", &std::fs::read_dir(saved.path())?.count(), &2)?;
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("dead_letter");
    }
    let rig = Rig::start(entry).await?;
    ensure_eq("the sender", &rig.post("Bearer t").await?, &StatusCode::OK)?;
    rig.settles("messages_dead_lettered", 1).await
}

#[tokio::test]
async fn no_connector_can_subscribe_to_it() -> Result<(), Failed> {
    let rig = Rig::start(json!({ "module": "log", "authorization": "Bearer t" })).await?;
    for token in ["", ADMIN, "direct:in"] {
        let answer = client::get(rig.address, "/connect/status/direct:in", token).await?;
        ensure_eq("the answer to a connector", &answer.status, &StatusCode::UNAUTHORIZED)?;
    }
    Ok(())
}
