//! The buffer that keeps its webhooks in a folder of its own: nothing to install, one receiver.
//!
//! All channels share one log of segments, written by one thread that gathers what waits, writes it at once and syncs it
//! once. In memory is only where each webhook lies. `docs/embedded-store.md` has the layout and what survives what.
//!
//! The parts: [`entry`] and [`item`] are what the log says; [`disk`] is where it lies; [`queue`] gathers, [`group`] puts together,
//! [`log`] makes durable, [`writer`] joins them; [`state`], [`index`] and [`slots`] are what is known; [`fetch`] reads webhooks; [`scan`],
//! [`sidecar`], [`marker`], [`recover`] and [`quarantine`] open the store again; [`space`] and [`reserve`] give room back; [`operate`] is for operators, with [`observe`].

mod disk;
mod entry;
mod fetch;
mod group;
mod index;
mod item;
mod log;
mod marker;
mod observe;
pub(crate) mod operate;
mod quarantine;
mod queue;
mod recover;
mod reserve;
mod scan;
mod sidecar;
mod slots;
mod space;
mod state;
mod store;
mod writer;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::kind::{Build, Claim, Context, OpenError, Role, Stage};
use engine::limits::Limits;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{info, warn};

use super::Buffer;
use disk::{Disk, Folder};
use log::Shared;
use queue::Queue;
use recover::Recovered;
use writer::Writer;

/// Keep the webhooks of a channel in a folder on this machine.
///
/// A webhook counts as accepted once it is written and synced to the disk. One receiver at a time uses a folder; all its
/// channels may share it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The channel whose webhooks are kept.
    channel: String,
    /// The folder, relative to that of the file which says it. Made if missing. A fast local disk is best; a network file system is not supported.
    path: PathBuf,
    /// The bounds of the channel.
    #[serde(default)]
    limits: Limits,
}

impl Build for Settings {
    const NAME: &'static str = "embedded";
    const ROLE: Role = Role::Buffer;

    fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim { what: "buffered channel", name: &self.channel, key: "channel" })
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let Self { channel, path, limits } = self;
        let resources = cx.resources.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let path = make_folder(&path)?;
            // Kept above the pipeline: every channel of the folder shares its log.
            let name = path.to_string_lossy().into_owned();
            resources.get_or_make(&name, || Embedded::open(&path, Options::default()))
        });
        let shared = opening.await.map_err(|error| OpenError { what: error.to_string(), help: None })??;
        let store = shared.channel(&channel);
        Ok(Box::new(Buffer { channel, limits, store, cx: cx.clone() }))
    }
}

/// How a store works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// A segment takes this many bytes. A single group may exceed it.
    pub(crate) segment_bytes: u64,
    /// How long after one group the writer takes the next at the latest, when fewer wait than that one had.
    pub(crate) gather: Duration,
}

impl Default for Options {
    fn default() -> Self {
        // Anything from 100 to 500 µs reaches the same rate at 64 connections; more gives larger groups (bench/run ingest).
        Self { segment_bytes: 64 << 20, gather: Duration::from_micros(500) }
    }
}

/// An open folder. The last handle on it or on one of its channels closes it: what waits is written, the folder is free.
#[derive(Debug)]
pub(crate) struct Embedded(Arc<Handle>);

/// One channel of an open folder.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    handle: Arc<Handle>,
    number: u32,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held for as long as the folder is open.
    _lock: Option<File>,
}

impl Embedded {
    /// Opens the folder at `path`, which no other process may have open, and reads what it holds. Blocks.
    ///
    /// # Errors
    /// Another process has it open, or it cannot be read; which folder, and what to do.
    pub(crate) fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let path = make_folder(path)?;
        let begun = Instant::now();
        let lock = lock(&path)?;
        let disk = Box::new(Folder::new(path.clone()));
        let store = Self::open_on(disk, Some(lock), options)
            .map_err(|error| unusable(&path, &error, "check that this user may read and write it"))?;
        let state = store.0.shared.state();
        let webhooks: u64 = state.channels.iter().map(|one| one.index.live() + one.index.parked_len()).sum();
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(path = %path.display(), webhooks, segments = state.segments.len(), ms, "the store is open");
        drop(state);
        Ok(store)
    }

    fn open_on(disk: Box<dyn Disk>, lock: Option<File>, options: Options) -> io::Result<Self> {
        let Recovered { state, newest, used, .. } = recover::recover(&*disk)?;
        let shared = Arc::new(Shared::new(disk, Queue::new(options.gather), state));
        let writer = Writer::new(Arc::clone(&shared), (newest, used), options.segment_bytes);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(|| writer.run())?;
        Ok(Self(Arc::new(Handle { shared, writer: Mutex::new(Some(thread)), _lock: lock })))
    }

    /// Returns the channel called `name`, empty if it was never used.
    pub(crate) fn channel(&self, name: &str) -> Channel {
        let number = self.0.shared.state_mut().number(name);
        Channel { handle: Arc::clone(&self.0), number }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            warn!("the writer of the store ended early");
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

fn make_folder(path: &Path) -> Result<PathBuf, OpenError> {
    let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    made.map_err(|error| unusable(path, &error, "create it, or choose another folder for the buffer"))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).truncate(false).write(true).open(path.join("lock"));
    let file = file.map_err(|error| unusable(path, &error, "check that this user may read and write it"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError {
            what: format!("the buffer's folder {} is in use by another receiver", path.display()),
            help: Some("stop that one, or give this one a folder of its own".to_owned()),
        }),
        Err(TryLockError::Error(error)) => Err(unusable(path, &error, "use a file system that has locks")),
    }
}

fn unusable(path: &Path, error: &io::Error, help: &str) -> OpenError {
    OpenError {
        what: format!("the buffer's folder {} cannot be used: {error}", path.display()),
        help: Some(help.to_owned()),
    }
}

#[cfg(test)]
mod tests;
