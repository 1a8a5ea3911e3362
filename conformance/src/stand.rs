//! What a case runs on: a binary, a buffer, a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::case::Failed;
use crate::party::post::Posted;
use crate::party::process::Process;
use crate::party::receiver::{Receiver, Setup, Target};
use crate::party::transport::Transport;

/// The buffer that a case varies over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// The durable one, in a folder.
    Embedded,
    /// The one for trials.
    Memory,
}

impl Buffer {
    /// Returns its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Memory => "memory",
        }
    }
}

/// Returns the binary that the suite's own tests run: the one named by `WEBHOOK_CONNECT_BIN`, else the one that was built
/// beside the running test.
///
/// # Errors
/// It is not there.
pub fn built_binary() -> Result<PathBuf, Failed> {
    if let Some(named) = std::env::var_os("WEBHOOK_CONNECT_BIN") {
        return Ok(named.into());
    }
    let own = std::env::current_exe()?;
    // Tests lie in a folder beside it.
    let built = own.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("webhook-connect");
    if built.is_file() {
        return Ok(built);
    }
    Err(Failed("build the binary first: cargo build --bin webhook-connect".to_owned()))
}

/// What a case runs on. Dropping it removes its folder.
#[derive(Clone, Debug)]
pub struct Stand {
    ground: Ground,
    transport: Transport,
    folder: Arc<TempDir>,
    posted: Posted,
    command: Option<Arc<str>>,
    told: Arc<Mutex<Told>>,
}

/// Whose receiver it is.
#[derive(Clone, Debug)]
enum Ground {
    /// The suite's own, which the case starts.
    Own { binary: PathBuf, buffer: Buffer },
    /// One that runs already, whose channel others may use as well.
    There(Arc<Target>),
}

/// What a case tells beside its verdict.
#[derive(Debug, Default)]
struct Told {
    notes: Vec<String>,
    left_out: Option<String>,
}

impl Stand {
    /// Makes a stand with a folder of its own, for receivers that the case starts.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(binary: PathBuf, buffer: Buffer) -> Result<Self, Failed> {
        Self::on(Ground::Own { binary, buffer }, Posted::default())
    }

    /// Makes a stand before a receiver that runs already. The case owns what it records in `posted`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn there(target: Arc<Target>, posted: Posted) -> Result<Self, Failed> {
        Self::on(Ground::There(target), posted)
    }

    fn on(ground: Ground, posted: Posted) -> Result<Self, Failed> {
        let folder = Arc::new(TempDir::with_prefix("conformance-")?);
        Ok(Self {
            ground,
            transport: Transport::WebSocket,
            folder,
            posted,
            command: None,
            told: Arc::default(),
        })
    }

    /// Makes another stand of the same kind, with a folder of its own.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn another(&self) -> Result<Self, Failed> {
        Ok(Self::on(self.ground.clone(), self.posted.clone())?.over(self.transport))
    }

    /// Returns the folder of this case.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has links use `transport`.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Has it test the connector that `command` starts.
    #[must_use]
    pub fn testing(mut self, command: &str) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Returns the command that starts the connector under test.
    ///
    /// # Errors
    /// None is under test.
    pub fn command(&self) -> Result<&str, Failed> {
        self.command.as_deref().ok_or_else(|| Failed("no connector is under test".to_owned()))
    }

    /// Returns the transport it varies over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns true when the receiver is the suite's own, to be configured and loaded as a case likes.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.ground, Ground::Own { .. })
    }

    /// Returns why the steps with a restart are left out here, when they are.
    #[must_use]
    pub fn no_restart(&self) -> Option<&'static str> {
        match self.ground {
            Ground::Own { buffer: Buffer::Embedded, .. } => None,
            Ground::Own { buffer: Buffer::Memory, .. } => Some("this buffer does not survive one"),
            Ground::There(_) => Some("the suite did not start this receiver"),
        }
    }

    /// Notes a figure or a step that was left out, for the report.
    pub fn note(&self, text: impl Into<String>) {
        self.told().notes.push(text.into());
    }

    /// Says that the case means nothing here, and why; it ends then.
    pub fn leave_out(&self, why: impl Into<String>) {
        self.told().left_out = Some(why.into());
    }

    /// Returns what was noted.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.told().notes.clone()
    }

    /// Returns why the case left itself out, when it did.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        self.told().left_out.clone()
    }

    /// Returns the record of what the case posted.
    #[must_use]
    pub fn posted(&self) -> &Posted {
        &self.posted
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a receiver and waits until it answers, or takes the one that runs already, whose settings stand.
    ///
    /// # Errors
    /// It does not start, and its log is in the text; or it does not tell its figures.
    pub async fn receiver(&self, setup: Setup) -> Result<Receiver, Failed> {
        let receiver = match &self.ground {
            Ground::There(target) => Receiver::there(Target::clone(target), self.posted.clone()).await?,
            Ground::Own { binary, buffer } => {
                let data = self.folder().join("data");
                let url = match buffer {
                    Buffer::Embedded => format!("embedded:{}", data.display()),
                    Buffer::Memory => "memory:".to_owned(),
                };
                Receiver::start(binary, self.folder(), &url, setup).await?
            }
        };
        Ok(receiver.with(self.transport, self.posted.clone()))
    }

    /// Starts the real connector with `config` as its connector.json.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn connector(&self, config: &serde_json::Value) -> Result<Process, Failed> {
        let path = self.folder().join("connector.json");
        std::fs::write(&path, config.to_string())?;
        let log = self.folder().join("connector.log");
        Process::start(self.binary()?, &["--config".as_ref(), path.as_os_str()], &log)
    }

    /// Returns the binary under test.
    ///
    /// # Errors
    /// The receiver is not the suite's own.
    pub fn binary(&self) -> Result<&Path, Failed> {
        match &self.ground {
            Ground::Own { binary, .. } => Ok(binary),
            Ground::There(_) => Err(Failed("the suite does not start what it checks here".to_owned())),
        }
    }
}
