//! The examples run: what is posted to the receiver of each arrives behind its connector.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::destination::Destination;
use conformance::party::http as client;
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::party::sender::signature;
use conformance::party::wait::until;
use conformance::stand::built_binary;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tempfile::TempDir;

use crate::here;

/// What every variable of the examples is set to, unless it is a place.
const SECRET: &str = "a-value-of-the-environment";

/// The variables of the examples that hold secrets.
const SECRETS: [&str; 7] = [
    "STRIPE_WEBHOOK_SECRET",
    "GITHUB_WEBHOOK_SECRET",
    "CONNECTOR_API_TOKEN",
    "PAYMENTS_API_KEY",
    "STRIPE_CHANNEL_TOKEN",
    "PARTNER_TOKEN",
    "EVENTS_TOKEN",
];

/// The place in the examples where something takes what they deliver.
const LOCAL: &str = "http://localhost:3000";

/// A copy of an example whose two ends run.
struct Running {
    address: SocketAddr,
    destination: Destination,
    connector: Process,
    _receiver: Process,
    _folder: TempDir,
}

impl Running {
    /// Starts both ends of the example in `folder`, which deliver to a destination of the test.
    async fn start(example: &str, near: &[&str], far: &str) -> Result<Self, Failed> {
        let (folder, destination) = (TempDir::new()?, Destination::start().await?);
        let url = destination.url();
        let (base, _) = url.rsplit_once("/hooks").unwrap_or_default();
        for file in std::fs::read_dir(here("../examples").join(example))? {
            let file = file?;
            let text = std::fs::read_to_string(file.path())?.replace(LOCAL, base);
            std::fs::write(folder.path().join(file.file_name()), text)?;
        }
        let variables: Vec<String> = SECRETS.iter().map(|name| format!("{name}={SECRET}")).collect();
        let own = format!("cd '{}' && exec '{}' \"$@\"", folder.path().display(), built_binary()?.display());
        let start = ["sh", "-c", &own, "sh"].map(str::to_owned);
        let command = std::iter::once("env".to_owned()).chain(variables.clone()).chain(start);
        let command: Vec<String> = command.chain(near.iter().map(|word| (*word).to_owned())).collect();
        let log = folder.path().join("receiver.log");
        let (receiver, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
        let mut command = Command::new(built_binary()?);
        command.env_clear().envs(SECRETS.map(|name| (name, SECRET))).current_dir(folder.path());
        command.env("CLOUD_URL", format!("http://{address}")).args(["--config", far]);
        let connector = Process::spawn(command.into(), &folder.path().join("connector.log"))?;
        Ok(Self { address, destination, connector, _receiver: receiver, _folder: folder })
    }

    /// Posts a webhook with this header and returns the status.
    async fn post(&self, webhook: &str, body: &'static str, header: (&str, &str)) -> Result<u16, Failed> {
        let request = Request::post(format!("/webhook/{webhook}")).header("host", "localhost");
        let request = request.header(header.0, header.1).body(Full::new(Bytes::from(body)))?;
        Ok(client::send(self.address, request).await?.status.as_u16())
    }

    /// Posts a signed webhook.
    async fn post_signed(&self, webhook: &str, body: &'static str, header: &str) -> Result<u16, Failed> {
        self.post(webhook, body, (header, &signature(SECRET, body.as_bytes()))).await
    }

    /// Posts a webhook as Stripe signs it.
    async fn post_as_stripe(&self, body: &'static str) -> Result<u16, Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let signed = signature(SECRET, format!("{now}.{body}").as_bytes()).replace("sha256", "v1");
        self.post("stripe_relay", body, ("Stripe-Signature", &format!("t={now},{signed}"))).await
    }

    /// Waits for what arrives and returns it, each as its target and its body.
    async fn arrived(&self, count: usize) -> Result<Vec<String>, Failed> {
        let arrived = self.destination.reached(count).await;
        arrived
            .map_err(|Failed(why)| Failed(format!("{why}\n{}", self.connector.log().unwrap_or_default())))?;
        let calls = self.destination.calls();
        let shown =
            calls.iter().map(|call| format!("{} {}", call.target, String::from_utf8_lossy(&call.body)));
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        Ok(shown)
    }

    async fn connector_says(&mut self, text: &str) -> Result<(), Failed> {
        let connector = &self.connector;
        until(
            text,
            Duration::from_secs(20),
            || async move { Ok(connector.log()?.contains(text).then_some(())) },
        )
        .await
    }
}

#[tokio::test]
async fn two_webhooks_go_through_one_receiver_with_one_token_to_a_destination_and_a_chain()
-> Result<(), Failed> {
    let near = ["receiver", "--config", "webhooks.json", "--receiver-config", "receiver.json"];
    let mut running = Running::start("relay", &near, "connector.json").await?;
    let stripe = running.post_signed("stripe_relay", r#"{"paid":1}"#, "X-Stripe-Signature").await?;
    let github = running.post_signed("github_relay", r#"{"pushed":1}"#, "X-Hub-Signature-256").await?;
    let forged = running.post("stripe_relay", "{}", ("X-Stripe-Signature", "sha256=00")).await?;
    ensure_eq("the answers", &[stripe, github, forged], &[200, 200, 401])?;
    let wanted = [r#"/ci-triggers {"pushed":1}"#, r#"/payment-events {"paid":1}"#];
    ensure_eq("what arrives", &running.arrived(2).await?, &wanted.map(str::to_owned).to_vec())?;
    running.connector_says("github: ").await?;
    let calls = running.destination.calls();
    let key = calls.iter().find(|call| call.target == "/payment-events").map(|call| call.header("x-api-key"));
    ensure_eq("the key of the destination", &key, &Some(SECRET))
}

#[tokio::test]
async fn a_channel_with_its_own_token_needs_no_more_than_the_receivers_url() -> Result<(), Failed> {
    let near = ["receiver", "--config", "webhooks.json", "--buffer", "embedded:data"];
    let running = Running::start("channel-tokens", &near, "connector.json").await?;
    let answer = running.post_as_stripe(r#"{"paid":2}"#).await?;
    ensure_eq("the answer", &answer, &200)?;
    ensure_eq("what arrives", &running.arrived(1).await?, &vec![r#"/payments {"paid":2}"#.to_owned()])?;
    // Without `cloud` in the file, the environment is enough.
    let file: Value =
        serde_json::from_str(&std::fs::read_to_string(here("../examples/channel-tokens/connector.json"))?)?;
    let folder = TempDir::new()?;
    std::fs::write(
        folder.path().join("connector.json"),
        serde_json::json!({ "channels": file["channels"] }).to_string(),
    )?;
    let told = |set: bool| -> Result<String, Failed> {
        let mut command = Command::new(built_binary()?);
        command.env_clear().current_dir(folder.path()).envs(SECRETS.map(|name| (name, SECRET)));
        if set {
            command.env("CLOUD_URL", "http://127.0.0.1:1");
        }
        Ok(String::from_utf8(command.args(["check", "connector.json"]).output()?.stdout)?)
    };
    ensure(told(true)?.contains("no problem"), || "with CLOUD_URL it is sound".to_owned())?;
    ensure(told(false)?.contains("CLOUD_URL"), || "without, it says what to set".to_owned())
}

#[tokio::test]
async fn the_explicit_graphs_of_both_ends_run() -> Result<(), Failed> {
    let near = ["receiver", "--config", "receiver-end.json"];
    let running = Running::start("graph", &near, "connector-end.json").await?;
    let github = running.post_signed("github", r#"{"pushed":3}"#, "X-Hub-Signature-256").await?;
    let partner = running.post("partner", "anything", ("authorization", &format!("Bearer {SECRET}"))).await?;
    ensure_eq("the answers", &[github, partner], &[202, 200])?;
    let wanted = ["/hooks anything", r#"/hooks {"pushed":3}"#];
    ensure_eq("what arrives", &running.arrived(2).await?, &wanted.map(str::to_owned).to_vec())
}
