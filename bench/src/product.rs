//! The binary under measurement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use conformance::case::Failed;
use conformance::party::http;
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::party::wait::until;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The secret that webhooks are signed with.
pub(crate) const SECRET: &str = "bench-secret";

/// The path they are posted to.
pub(crate) const PATH: &str = "/webhook/bench";

const CHANNEL: &str = "bench";
const TOKEN: &str = "bench-token";
const ADMIN: &str = "bench-admin";

/// A receiver with the embedded buffer in a folder of its own.
pub(crate) struct Receiver {
    process: Process,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// Returns the release binary, which lies beside this one.
pub(crate) fn binary() -> Result<PathBuf, Failed> {
    let binary = std::env::current_exe()?.with_file_name("webhook-connect");
    if binary.is_file() { Ok(binary) } else { Err(Failed(format!("{} is not built", binary.display()))) }
}

impl Receiver {
    /// Starts a receiver whose bounds no benchmark meets. The flow lines are off, as on a busy receiver.
    pub(crate) async fn start() -> Result<Self, Failed> {
        // Beside the binary: a real disk, where a temporary folder may be memory.
        let beside = binary()?.parent().map_or_else(PathBuf::new, Path::to_owned);
        let folder = TempDir::with_prefix_in("webhook-connect-bench-", beside)?;
        let limits = json!({
            "channel": CHANNEL, "channel_token": TOKEN, "max_queue_size": 100_000_000, "max_in_flight": 2_000,
            "max_queue_bytes": 1_u64 << 40,
        });
        let webhooks = json!({ "bench": {
            "module": "webhook_connect", "module-config": limits,
            "hmac": { "secret": SECRET, "header": "X-Hub-Signature-256", "algorithm": "sha256" },
        }});
        std::fs::write(folder.path().join("webhooks.json"), webhooks.to_string())?;
        let own = json!({ "admin_token": ADMIN, "flow_log": { "enabled": false } });
        std::fs::write(folder.path().join("receiver.json"), own.to_string())?;
        let (process, address) = run(folder.path(), "127.0.0.1:0").await?;
        Ok(Self { process, address, folder })
    }

    /// Kills it and starts it again over the same buffer.
    pub(crate) async fn restart(&mut self) -> Result<(), Failed> {
        self.process.kill().await?;
        (self.process, self.address) = run(self.folder.path(), &self.address.to_string()).await?;
        Ok(())
    }

    /// Starts a connector that speaks `protocol` and prints every webhook to /dev/null.
    pub(crate) fn connector(&self, protocol: &str) -> Result<Process, Failed> {
        let config = json!({
            "cloud": { "url": format!("http://{}", self.address), "token": TOKEN },
            "routes": { CHANNEL: { "module": "log" } },
            "max_in_flight": 2_000,
            "protocol": protocol,
        });
        let path = self.folder.path().join("connector.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new(binary()?);
        command.arg("--config").arg(path).env("WEBHOOK_CONNECT_LOG", "info,webhook_connect::flow=off");
        Process::spawn_printing(command, &self.folder.path().join("connector.log"), Stdio::null())
    }

    /// Returns one figure of the channel.
    pub(crate) async fn figure(&self, name: &str) -> Result<u64, Failed> {
        let path = format!("/admin/webhook-connect/channels/{CHANNEL}/stats");
        let stats: Value = http::get(self.address, &path, ADMIN).await?.json()?;
        stats[name].as_u64().ok_or_else(|| Failed(format!("no figure is called {name}")))
    }

    /// Waits until one figure is at least `count`.
    pub(crate) async fn reaches(&self, name: &str, count: u64, most: Duration) -> Result<(), Failed> {
        until(name, most, || async { Ok((self.figure(name).await? >= count).then_some(())) }).await
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Returns the bytes that the buffer takes on disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64, Failed> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.folder.path().join("data"))? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

async fn run(folder: &Path, listen: &str) -> Result<(Process, SocketAddr), Failed> {
    let path = |name: &str| folder.join(name).display().to_string();
    let command = [
        binary()?.display().to_string(),
        "receiver".to_owned(),
        "--config".to_owned(),
        path("webhooks.json"),
        "--receiver-config".to_owned(),
        path("receiver.json"),
        "--buffer".to_owned(),
        format!("embedded:{}", path("data")),
    ];
    start_listening(&command, listen, &folder.join("receiver.log")).await
}

/// Returns the resident memory of a process, in megabytes of 1,000,000 bytes.
pub(crate) fn resident_megabytes(id: Option<u32>) -> Result<f64, Failed> {
    let id = id.ok_or_else(|| Failed("the process has ended".to_owned()))?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| Failed("the kernel does not tell VmRSS".to_owned()))?;
    Ok(kibibytes * 1_024.0 / 1_000_000.0)
}
