//! A connector under test: any command, with all the processes it starts.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::case::Failed;

/// How often is looked whether all its processes have ended.
const LOOK: Duration = Duration::from_millis(20);

/// The end of its output that is shown when a case fails, in bytes.
const SHOWN: usize = 2_000;

/// What a command is told, by its placeholders and by its environment.
#[derive(Clone, Debug)]
pub struct Told {
    /// The receiver's URL.
    pub url: String,
    /// The channel.
    pub channel: String,
    /// The channel's token.
    pub token: String,
    /// Where webhooks are to be delivered.
    pub destination: String,
}

/// A running command, in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Tested {
    child: Child,
    group: u32,
    log: PathBuf,
}

impl Told {
    /// Returns `command` with its placeholders replaced.
    #[must_use]
    pub fn fill(&self, command: &str) -> String {
        let Self { url, channel, token, destination } = self;
        let all =
            [("{url}", url), ("{channel}", channel), ("{token}", token), ("{destination}", destination)];
        all.into_iter().fold(command.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

impl Tested {
    /// Starts `command` by `sh -c`, adding its output to the end of `log`.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub fn start(command: &str, told: &Told, log: &Path) -> Result<Self, Failed> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut shell = Command::new("sh");
        // The shell outlives a SIGTERM, to tell how its command ended.
        let script = format!("trap : TERM\n{}", told.fill(command));
        shell.args(["-c", &script]).process_group(0);
        shell.env("CLOUD_URL", &told.url).env("CONNECTOR_CHANNEL", &told.channel);
        shell.env("CONNECTOR_TOKEN", &told.token).env("CONNECTOR_TARGET_URL", &told.destination);
        shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = shell.spawn().map_err(|error| Failed(format!("`sh` cannot be started: {error}")))?;
        let group = child.id().ok_or_else(|| Failed("the command ended at once".to_owned()))?;
        Ok(Self { child, group, log: log.to_owned() })
    }

    /// Kills all its processes with SIGKILL and waits until they are gone.
    ///
    /// # Errors
    /// They are not gone soon after.
    pub async fn kill(&mut self) -> Result<(), Failed> {
        signal(self.group, "KILL");
        self.ended(Duration::from_secs(5)).await.map(|_| ())
    }

    /// Sends SIGTERM to all its processes.
    pub fn terminate(&self) {
        signal(self.group, "TERM");
    }

    /// Waits until all its processes have ended, and returns how the command itself did.
    ///
    /// # Errors
    /// They have not within `most`.
    pub async fn ended(&mut self, most: Duration) -> Result<ExitStatus, Failed> {
        let end = Instant::now() + most;
        let late = || Failed(format!("expected the command and all it started to end within {most:?}"));
        let status = tokio::time::timeout_at(end, self.child.wait()).await.map_err(|_| late())??;
        while is_running(self.group) {
            if Instant::now() > end {
                return Err(late());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(status)
    }

    /// Waits until the command itself ends. Cancelling loses nothing.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn over(&mut self) -> Result<ExitStatus, Failed> {
        Ok(self.child.wait().await?)
    }

    /// Returns the end of what it has said.
    #[must_use]
    pub fn said(&self) -> String {
        let all = fs::read(&self.log).unwrap_or_default();
        let from = all.len().saturating_sub(SHOWN);
        String::from_utf8_lossy(all.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        if is_running(self.group) {
            signal(self.group, "KILL");
        }
    }
}

/// Sends a signal to a process group, by the shell, which every system has. A group that has ended is left alone.
fn signal(group: u32, name: &str) {
    let script = format!("kill -s {name} -- -{group}");
    let sent = std::process::Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
    // Whoever waits for the group sees what came of it.
    drop(sent);
}

/// Returns true while a process of the group runs. One that has ended and was not waited for does not.
fn is_running(group: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        let script = format!("kill -s 0 -- -{group}");
        let sent = std::process::Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        return sent.is_ok_and(|status| status.success());
    };
    processes.flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent, process group.
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        let mut fields = rest.split_whitespace();
        let state = fields.next().unwrap_or_default();
        let its: Option<u32> = fields.nth(1).and_then(|group| group.parse().ok());
        its == Some(group) && !matches!(state, "Z" | "X")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        let [url, channel, token, destination] =
            ["http://r", "events", "t", "http://d/hooks?a=1"].map(str::to_owned);
        Told { url, channel, token, destination }
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        let filled = told().fill("run --to='{destination}' {url}/{channel} {token} {other} {url}");
        assert_eq!(filled, "run --to='http://d/hooks?a=1' http://r/events t {other} http://r");
    }

    #[tokio::test]
    async fn what_a_command_started_dies_with_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let script = "sleep 600 & echo \"$CONNECTOR_CHANNEL\"; sleep 600; true";
        let mut tested = Tested::start(script, &told(), &folder.path().join("log")).unwrap();
        let group = tested.group;
        let end = Instant::now() + Duration::from_secs(5);
        while tested.said() != "events" {
            assert!(Instant::now() < end, "it says {}", tested.said());
            tokio::time::sleep(LOOK).await;
        }
        assert!(is_running(group));
        tested.kill().await.unwrap();
        assert!(!is_running(group));
    }
}
