//! The receiver under test.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::case::{Failed, ensure, ensure_eq};
use crate::party::connector::{Link, Transport};
use crate::party::http;
use crate::party::process::Process;

/// How long a receiver may take to answer after its start.
const START: Duration = Duration::from_secs(20);

/// How often figures are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The channel that cases use.
pub const CHANNEL: &str = "events";

/// The channel's token.
pub const TOKEN: &str = "ch_tok_of_the_conformance_suite";

/// The webhook id that cases post to.
pub const WEBHOOK: &str = "in";

/// The secret that webhooks are signed with.
pub const SECRET: &str = "hmac secret of the conformance suite";

/// The token of the admin API.
pub const ADMIN: &str = "admin token of the conformance suite";

/// How a receiver is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The keys of `module-config` beside the channel: limits.
    pub limits: Value,
    /// `json` or `blob`.
    pub data_type: &'static str,
    /// The keys of receiver.json beside the admin token.
    pub receiver: Value,
    /// A command line that the receiver's own is added to; none starts the binary itself.
    pub wrapper: Vec<String>,
    /// The folder of the buffer, when it is not the stand's.
    pub data: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: json!({}), data_type: "blob", receiver: json!({}), wrapper: Vec::new(), data: None }
    }
}

impl Setup {
    /// Makes a setup with limits of its own.
    #[must_use]
    pub fn limits(limits: Value) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Returns its webhooks.json.
    #[must_use]
    pub fn webhooks(&self) -> Value {
        let mut config = self.limits.as_object().cloned().unwrap_or_default();
        config.insert("channel".to_owned(), json!(CHANNEL));
        config.insert("channel_token".to_owned(), json!(TOKEN));
        json!({ WEBHOOK: {
            "data_type": self.data_type,
            "module": "webhook_connect",
            "module-config": config,
            "hmac": { "secret": SECRET, "header": "X-Hub-Signature-256", "algorithm": "sha256" },
        }})
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    process: Process,
    address: SocketAddr,
    command: Vec<String>,
    log: PathBuf,
    transport: Transport,
}

impl Receiver {
    /// Writes the files, starts the binary and waits until it answers.
    ///
    /// # Errors
    /// It does not start; its log is in the text.
    pub async fn start(binary: &Path, folder: &Path, buffer: &str, setup: Setup) -> Result<Self, Failed> {
        let (webhooks, own) = (folder.join("webhooks.json"), folder.join("receiver.json"));
        std::fs::write(&webhooks, setup.webhooks().to_string())?;
        let mut keys: Map<String, Value> = setup.receiver.as_object().cloned().unwrap_or_default();
        keys.insert("admin_token".to_owned(), json!(ADMIN));
        std::fs::write(&own, Value::Object(keys).to_string())?;
        let buffer = setup.data.map_or(buffer.to_owned(), |data| format!("embedded:{}", data.display()));
        let mut command = setup.wrapper;
        let files = [("--config", &webhooks), ("--receiver-config", &own)];
        command.push(binary.display().to_string());
        command.push("receiver".to_owned());
        for (flag, path) in files {
            command.extend([flag.to_owned(), path.display().to_string()]);
        }
        command.extend(["--buffer".to_owned(), buffer]);
        let log = folder.join("receiver.log");
        let (process, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
        Ok(Self { process, address, command, log, transport: Transport::WebSocket })
    }

    /// Returns where it listens. A restart keeps it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has its links use `transport`.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<(), Failed> {
        self.process.kill().await
    }

    /// Starts it again at the same address, with the same files and the same buffer.
    ///
    /// # Errors
    /// It does not start; its log is in the text.
    pub async fn restart(&mut self) -> Result<(), Failed> {
        (self.process, self.address) =
            start_listening(&self.command, &self.address.to_string(), &self.log).await?;
        Ok(())
    }

    /// Connects a connector with this window, in webhooks.
    ///
    /// # Errors
    /// It is refused.
    pub async fn link(&self, window: usize) -> Result<Link, Failed> {
        Link::open(self.transport, self.address, CHANNEL, TOKEN, window).await
    }

    /// Returns the figures of the channel.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn stats(&self) -> Result<Stats, Failed> {
        let path = format!("/admin/webhook-connect/channels/{CHANNEL}/stats");
        let answer = http::get(self.address, &path, ADMIN).await?;
        ensure_eq("the status of the figures", &answer.status.as_u16(), &200)?;
        Ok(Stats(answer.json()?))
    }

    /// Returns the dead letters of the channel.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn dead_letters(&self) -> Result<Vec<Value>, Failed> {
        let path = format!("/admin/webhook-connect/channels/{CHANNEL}/dead-letters?limit=1000");
        let answer = http::get(self.address, &path, ADMIN).await?;
        Ok(answer.json()?["messages"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until the figures are as wanted, and checks that the audit balances all the while.
    ///
    /// # Errors
    /// They are not within `most`, or the audit does not balance.
    pub async fn settles(
        &self,
        what: &str,
        most: Duration,
        wanted: impl Fn(&Stats) -> bool + Send,
    ) -> Result<Stats, Failed> {
        let end = Instant::now() + most;
        loop {
            let stats = self.stats().await?;
            stats.ensure_balance()?;
            if wanted(&stats) {
                return Ok(stats);
            }
            ensure(Instant::now() < end, || {
                format!("waited {most:?} in vain: {what}; last figures: {}", stats.0)
            })?;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The figures of a channel.
#[derive(Clone, Debug)]
pub struct Stats(Value);

impl Stats {
    /// Returns one figure; a figure that is missing reads as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0[name].as_i64()
    }

    /// Returns one figure, 0 when it is missing.
    #[must_use]
    pub fn count(&self, name: &str) -> i64 {
        self.get(name).unwrap_or(0)
    }

    /// Checks the audit: everything accepted is somewhere (LED-01).
    ///
    /// # Errors
    /// The figures that do not balance.
    pub fn ensure_balance(&self) -> Result<(), Failed> {
        let parts = ["delivered", "queued", "in_flight", "dead_lettered", "expired", "dropped", "purged"];
        let sum: i64 = parts.iter().map(|part| self.count(&format!("messages_{part}"))).sum();
        ensure(self.get("audit_imbalance") == Some(0) && sum == self.count("messages_accepted"), || {
            format!("the audit does not balance: {}", self.0)
        })
    }
}

/// Starts `command` as a receiver that listens at `listen`, and waits until it does. Its output goes to the end of `log`.
///
/// # Errors
/// It does not start; its log is in the text.
pub async fn start_listening(
    command: &[String],
    listen: &str,
    log: &Path,
) -> Result<(Process, SocketAddr), Failed> {
    let from = std::fs::metadata(log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(0));
    let mut arguments: Vec<&OsStr> = command.iter().skip(1).map(OsStr::new).collect();
    arguments.extend(["--listen", listen].map(OsStr::new));
    let program = command.first().map(Path::new).unwrap_or(Path::new(""));
    let mut process = Process::start(program, &arguments, log)?;
    let find = |text: &str| {
        let line = text.lines().find(|line| line.contains("listening"))?;
        let (_, rest) = line.split_once("address=")?;
        rest.split_whitespace().next()?.parse::<SocketAddr>().ok()
    };
    let address = process.says("the receiver listens", from, START, find).await?;
    Ok((process, address))
}
