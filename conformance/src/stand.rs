//! What a case runs on: a binary, a buffer, a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::case::Failed;
use crate::party::connector::Transport;
use crate::party::process::Process;
use crate::party::receiver::{Receiver, Setup};

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

/// What a case runs on. Dropping it removes its folder.
#[derive(Clone, Debug)]
pub struct Stand {
    binary: PathBuf,
    buffer: Buffer,
    transport: Transport,
    folder: Arc<TempDir>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    /// Makes a stand with a folder of its own.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(binary: PathBuf, buffer: Buffer) -> Result<Self, Failed> {
        let folder = Arc::new(TempDir::with_prefix("conformance-")?);
        let transport = Transport::WebSocket;
        Ok(Self { binary, buffer, transport, folder, notes: Arc::default() })
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

    /// Returns the transport it varies over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the buffer it varies over.
    #[must_use]
    pub fn buffer(&self) -> Buffer {
        self.buffer
    }

    /// Returns true when what was accepted survives a restart.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.buffer == Buffer::Embedded
    }

    /// Notes a figure or a step that was left out, for the report.
    pub fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Returns what was noted.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a receiver and waits until it answers.
    ///
    /// # Errors
    /// It does not start; its log is in the text.
    pub async fn receiver(&self, setup: Setup) -> Result<Receiver, Failed> {
        let data = self.folder().join("data");
        let url = match self.buffer {
            Buffer::Embedded => format!("embedded:{}", data.display()),
            Buffer::Memory => "memory:".to_owned(),
        };
        let receiver = Receiver::start(&self.binary, self.folder(), &url, setup).await?;
        Ok(receiver.over(self.transport))
    }

    /// Starts the real connector with `config` as its connector.json.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn connector(&self, config: &serde_json::Value) -> Result<Process, Failed> {
        let path = self.folder().join("connector.json");
        std::fs::write(&path, config.to_string())?;
        let log = self.folder().join("connector.log");
        Process::start(&self.binary, &["--config".as_ref(), path.as_os_str()], &log)
    }

    /// Returns the binary under test.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }
}
