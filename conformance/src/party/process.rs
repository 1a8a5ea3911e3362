//! The binary under test as a child process.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::case::Failed;
use crate::party::wait::until;

/// A running binary whose output goes into a file. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `binary`, adding its output to the end of `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(binary: &Path, arguments: &[&OsStr], log: &Path) -> Result<Self, Failed> {
        let mut command = Command::new(binary);
        command.args(arguments);
        // What is set for a deployment of the user's own must not reach the suite's.
        let own = |name: &str| {
            ["WEBHOOK_CONNECT_", "CONNECTOR_", "CLOUD_URL"].iter().any(|own| name.starts_with(own))
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(own)) {
            command.env_remove(name);
        }
        Self::spawn(command, log)
    }

    /// Starts `command`, adding its output to the end of `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: Command, log: &Path) -> Result<Self, Failed> {
        let printed = OpenOptions::new().create(true).append(true).open(log)?;
        Self::spawn_printing(command, log, printed.into())
    }

    /// Starts `command`, whose standard output goes to `printed` and whose log goes to the end of `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn_printing(mut command: Command, log: &Path, printed: Stdio) -> Result<Self, Failed> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(printed).stderr(output).kill_on_drop(true);
        let child =
            command.spawn().map_err(|error| Failed(format!("the binary cannot be started: {error}")))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Returns everything it has said so far, and what its predecessors said into the same log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String, Failed> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Returns its process id while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns the memory it takes, in bytes: `VmRSS`.
    ///
    /// # Errors
    /// It has ended, or the kernel does not tell.
    pub fn resident_bytes(&self) -> Result<u64, Failed> {
        let id = self.id().ok_or_else(|| Failed("the process has ended".to_owned()))?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kibibytes.ok_or_else(|| Failed("the kernel does not tell VmRSS".to_owned()))? * 1_024)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<(), Failed> {
        Ok(self.child.kill().await?)
    }

    /// Sends SIGTERM. One that has ended by itself is left alone.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub async fn terminate(&mut self) -> Result<(), Failed> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.signal("TERM").await
    }

    /// Sends the signal of this name: `TERM`, `HUP`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// It has ended, or the signal cannot be sent.
    pub async fn signal(&self, name: &str) -> Result<(), Failed> {
        let id = self.id().ok_or_else(|| Failed("the process has ended already".to_owned()))?;
        let sent = Command::new("kill").args(["-s", name, &id.to_string()]).status().await?;
        if sent.success() { Ok(()) } else { Err(Failed(format!("SIG{name} could not be sent to {id}"))) }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It does not within `most`.
    pub async fn ended(&mut self, most: Duration) -> Result<ExitStatus, Failed> {
        match tokio::time::timeout(most, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(Failed(format!("the process did not end within {most:?}\n{}", self.log()?))),
        }
    }

    /// Waits until its log, from byte `from` on, gives something.
    ///
    /// # Errors
    /// It ends before, or says nothing of the kind within `most`; its log is in the text.
    pub async fn says<T>(
        &mut self,
        what: &str,
        from: usize,
        most: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failed> {
        let (log, child) = (self.log.clone(), &mut self.child);
        let mut ended = false;
        let found = until(what, most, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let found = find(text.get(from..).unwrap_or_default());
            let over = std::mem::replace(&mut ended, matches!(child.try_wait(), Ok(Some(_))));
            async move {
                match found {
                    Some(found) => Ok(Some(found)),
                    None if over => Err(Failed("the process ended".to_owned())),
                    None => Ok(None),
                }
            }
        });
        let found = found.await;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        found.map_err(|Failed(why)| Failed(format!("{why} ({what})\n{text}")))
    }
}

/// Returns how many files this process and those it starts may have open.
///
/// # Errors
/// The kernel does not tell.
pub fn open_files() -> Result<usize, Failed> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(usize::MAX),
        other => Ok(other.unwrap_or_default().parse()?),
    }
}
