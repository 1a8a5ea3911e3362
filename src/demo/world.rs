//! The demonstration's receiver, connector and destination.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use conformance::case::Failed;
use conformance::party::destination::{Destination, Manners};
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::party::sender::DELIVERY;
use serde_json::json;
use tempfile::TempDir;

use crate::demo::posts::SECRET;

/// The channel's token.
const TOKEN: &str = "demo-channel-token";

/// How long an orderly end may take.
const STOPPED: Duration = Duration::from_secs(5);

/// How long the destination takes for its answers, so that deliveries are under way when the connector is killed.
const ANSWERS_AFTER: Duration = Duration::from_millis(5);

/// How often new arrivals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Both ends as child processes of this binary, and a destination in this process. Dropping it kills both and removes the
/// folder.
pub(super) struct World {
    receiver: Process,
    connector: Process,
    destination: Destination,
    address: SocketAddr,
    binary: PathBuf,
    folder: TempDir,
}

impl World {
    pub(super) async fn start() -> Result<Self, Failed> {
        let binary = std::env::current_exe()?;
        let folder = TempDir::with_prefix("webhook-connect-demo-")?;
        let destination = Destination::start().await?;
        destination.behave(Manners { delay: ANSWERS_AFTER, ..Manners::default() });
        let webhooks = json!({ "github": {
            "data_type": "json",
            "module": "webhook_connect",
            "module-config": { "channel": "github-events", "channel_token": TOKEN },
            "hmac": { "secret": SECRET, "header": "X-Hub-Signature-256", "algorithm": "sha256" },
        }});
        std::fs::write(folder.path().join("webhooks.json"), webhooks.to_string())?;
        let command = receiver_command(&binary, folder.path());
        let log = folder.path().join("receiver.log");
        let (receiver, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
        let config = json!({
            "cloud": { "url": format!("http://{address}"), "token": TOKEN },
            "routes": { "github-events": {
                "module": "http_webhook", "module-config": { "url": destination.url() },
            }},
        });
        std::fs::write(folder.path().join("connector.json"), config.to_string())?;
        let connector = start_connector(&binary, folder.path())?;
        Ok(Self { receiver, connector, destination, address, binary, folder })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Returns when the webhook with this name reached the destination; none when it did not.
    pub(super) fn arrival(&self, delivery: &str) -> Option<Instant> {
        self.destination.saw(DELIVERY, delivery)
    }

    /// Returns whether the webhook with this name reached the destination.
    pub(super) fn has_arrived(&self, delivery: &str) -> bool {
        self.arrival(delivery).is_some()
    }

    /// Returns how often the destination was called.
    pub(super) fn arrivals(&self) -> usize {
        self.destination.count()
    }

    pub(super) async fn kill_connector(&mut self) -> Result<(), Failed> {
        self.connector.kill().await
    }

    pub(super) fn start_connector(&mut self) -> Result<(), Failed> {
        self.connector = start_connector(&self.binary, self.folder.path())?;
        Ok(())
    }

    pub(super) async fn kill_receiver(&mut self) -> Result<(), Failed> {
        self.receiver.kill().await
    }

    pub(super) async fn restart_receiver(&mut self) -> Result<(), Failed> {
        let command = receiver_command(&self.binary, self.folder.path());
        let log = self.folder.path().join("receiver.log");
        (self.receiver, self.address) = start_listening(&command, &self.address.to_string(), &log).await?;
        Ok(())
    }

    /// Prints each webhook that arrives, until Ctrl-C.
    pub(super) async fn show_arrivals_until_interrupted(&self) -> Result<(), Failed> {
        let mut shown = self.arrivals();
        loop {
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
                () = tokio::time::sleep(LOOK) => {
                    for call in self.destination.calls_from(shown) {
                        shown += 1;
                        let id = call.header("x-webhook-connect-id");
                        println!("{id}  {}  {} bytes", call.header("x-github-event"), call.body.len());
                    }
                }
            }
        }
    }

    /// Stops both ends in an orderly way.
    pub(super) async fn stop(mut self) -> Result<(), Failed> {
        self.connector.terminate().await?;
        self.connector.ended(STOPPED).await?;
        self.receiver.terminate().await?;
        self.receiver.ended(STOPPED).await.map(|_| ())
    }
}

fn receiver_command(binary: &Path, folder: &Path) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let buffer = format!("embedded:{}", path("data"));
    let own = [binary.display().to_string(), "receiver".to_owned()];
    own.into_iter()
        .chain(["--config".to_owned(), path("webhooks.json"), "--buffer".to_owned(), buffer])
        .collect()
}

fn start_connector(binary: &Path, folder: &Path) -> Result<Process, Failed> {
    let config = folder.join("connector.json");
    Process::start(binary, &["--config".as_ref(), config.as_os_str()], &folder.join("connector.log"))
}
