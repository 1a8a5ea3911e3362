//! `audit` and `conform` as people and build servers run them.
#![cfg(test)]

mod audit;
mod connector;
mod deployment;
mod double;
mod secrets;
mod tls;

use std::net::SocketAddr;
use std::path::Path;

use ::http::Request;
use conformance::case::Failed;
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::party::{http, sender};
use conformance::stand::built_binary;
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// What the sender proves itself by.
const SENDER: &str = "Bearer of the sender";

/// The token of the channel.
const TOKEN: &str = "token_of_the_channel";

/// The token of the admin API.
const ADMIN: &str = "token of the admin API";

/// What a command said and how it ended.
struct Ended {
    code: i32,
    out: String,
    complaint: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.whole()))
    }

    fn whole(&self) -> String {
        format!("exit {}\n{}\n{}", self.code, self.out, self.complaint)
    }
}

/// Runs the binary to its end, without the tokens of the environment.
async fn run(arguments: &[&str]) -> Result<Ended, Failed> {
    let mut command = Command::new(built_binary()?);
    command.args(arguments).env_remove("WEBHOOK_CONNECT_ADMIN_TOKEN").env_remove("CONNECTOR_TOKEN");
    let output = command.kill_on_drop(true).output().await?;
    let code = output.status.code().unwrap_or(-1);
    Ok(Ended { code, out: String::from_utf8(output.stdout)?, complaint: String::from_utf8(output.stderr)? })
}

/// A receiver that is not the suite's: it has its own files, and an entry that a header opens.
struct Deployment {
    address: SocketAddr,
    folder: TempDir,
    _process: Process,
}

impl Deployment {
    async fn start(receiver: Value) -> Result<Self, Failed> {
        Self::start_in(TempDir::new()?, receiver).await
    }

    async fn start_in(folder: TempDir, mut receiver: Value) -> Result<Self, Failed> {
        let entry = |channel: &str| {
            json!({
                "data_type": "blob", "module": "webhook_connect", "authorization": SENDER,
                "module-config": { "channel": channel, "channel_token": TOKEN },
            })
        };
        let webhooks = json!({ "gate": entry("gate"), "other": entry("other") });
        receiver["admin_token"] = json!(ADMIN);
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("webhooks.json"), webhooks.to_string())?;
        std::fs::write(folder.path().join("receiver.json"), receiver.to_string())?;
        let buffer = format!("embedded:{}", path("data"));
        let binary = built_binary()?.display().to_string();
        let (config, own) = (path("webhooks.json"), path("receiver.json"));
        let command =
            [&binary, "receiver", "--config", &config, "--receiver-config", &own, "--buffer", &buffer];
        let log = folder.path().join("receiver.log");
        let (process, address) = start_listening(&command.map(str::to_owned), "127.0.0.1:0", &log).await?;
        Ok(Self { address, folder, _process: process })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Posts a webhook that is not the suite's.
    async fn post(&self, webhook: &str) -> Result<(), Failed> {
        let request = Request::post(format!("/webhook/{webhook}"))
            .header("host", "localhost")
            .header("authorization", SENDER)
            .header(sender::DELIVERY, "of an operator");
        let answer = http::send(self.address, request.body(Full::from("1"))?).await?;
        assert_eq!(answer.status, 200);
        Ok(())
    }

    async fn stats(&self) -> Result<Value, Failed> {
        http::get(self.address, "/admin/webhook-connect/channels/gate/stats", ADMIN).await?.json()
    }
}

/// Returns the arguments of `conform` for a channel at `url`, and these.
fn conform<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    const HEADER: &str = "Authorization: Bearer of the sender";
    let fixed = ["conform", "--receiver", url, "--webhook", "gate", "--header", HEADER];
    let channel = ["--channel", "gate", "--token", TOKEN, "--admin-token", ADMIN];
    [&fixed[..], &channel[..], more].concat()
}
