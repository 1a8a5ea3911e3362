//! What operators do with a folder that no receiver has open: verify, export, repair.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use engine::kind::OpenError;
use engine::store::{ParkCause, Stats, Tries};
use engine::webhook::{Webhook, from_micros};

use super::disk::{Disk, Folder};
use super::fetch::fetch;
use super::index::{Index, Wanted};
use super::item::{Letter, What};
use super::log::{Log, Shared};
use super::marker;
pub use super::quarantine::Finding;
use super::queue::Queue;
use super::recover::{Recovered, parse_name, recover};
use super::reserve;
use super::space::Space;
use super::{Options, lock, sidecar, unusable};

/// Bytes of webhooks that are read at once; at least one is.
const BATCH: u64 = 4 << 20;

/// What stands in a folder.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Segments of the log.
    pub segments: usize,
    /// Their bytes, up to where they count.
    pub bytes: u64,
    /// The channels with their figures, in the order of their names.
    pub channels: Vec<(String, Stats)>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Where a webhook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its first delivery.
    Queued,
    /// It was handed out before; not again before `until`.
    Deferred {
        /// How often.
        tries: Tries,
        /// None: at once.
        until: Option<SystemTime>,
    },
    /// It is a dead letter.
    Parked {
        /// Why.
        cause: ParkCause,
        /// Why, in words.
        reason: String,
        /// Since when.
        at: SystemTime,
    },
}

/// Reads everything in the folder at `path` and changes nothing. Blocks.
///
/// # Errors
/// It is no buffer, cannot be read, or a receiver has it open.
pub fn verify(path: &Path) -> Result<Report, OpenError> {
    let (shared, findings) = observe(path)?;
    Ok(report(&shared, findings))
}

/// Hands every webhook in the folder at `path`, channel by channel, to `take`, and changes nothing. Blocks. Returns what is
/// wrong; the webhooks that this is about are left out.
///
/// # Errors
/// It cannot be read, a receiver has it open, or `take` said so.
pub fn export(
    path: &Path,
    mut take: impl FnMut(&str, &Webhook, &Standing) -> io::Result<()>,
) -> Result<Report, OpenError> {
    let (shared, findings) = observe(path)?;
    let exported = export_all(&shared, &mut take);
    exported
        .map_err(|error| unusable(path, &error, "check where the webhooks are written to, and the disk"))?;
    Ok(report(&shared, findings))
}

/// Reads everything in the folder at `path`, sets aside what is damaged, and writes what is sound into new segments. Blocks.
/// Returns what was wrong; afterwards [`verify`] finds nothing. Copies of what is damaged are in the folder `quarantine`.
/// Stopped half-way it leaves every webhook where it was or in a new segment.
///
/// # Errors
/// It cannot be read or written, a receiver has it open, or there is no room for a second copy of the oldest segment's
/// webhooks.
pub fn repair(path: &Path) -> Result<Report, OpenError> {
    let unusable =
        |error: io::Error| unusable(path, &error, "give it room, and check that this user may write it");
    let path = &existing(path)?;
    let _lock = lock(path)?;
    let disk = Folder::new(path.to_owned());
    let segment_bytes = Options::default().segment_bytes;
    let repaired = || -> io::Result<Report> {
        let is_segment = |name: &str| parse_name(name).is_some();
        for (name, _) in disk.list()?.iter().filter(|(name, _)| is_segment(name)) {
            match disk.remove(&sidecar::name_for(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let Recovered { state, newest, used, findings } = recover(&disk)?;
        // Room for what is written; a receiver sets it aside again.
        reserve::remove(&disk)?;
        let queue = Queue::new(Options::default().gather);
        let shared = Arc::new(Shared::new(Box::new(Folder::new(path.to_owned())), queue, state));
        let mut log = Log::new(Arc::clone(&shared), (newest, used), segment_bytes);
        Space::new(Arc::clone(&shared), segment_bytes).rewrite(&mut log)?;
        log.seal();
        Ok(report(&shared, findings))
    };
    repaired().map_err(unusable)
}

/// Returns what stands in the folder at `path`, and what is wrong.
fn observe(path: &Path) -> Result<(Shared, Vec<Finding>), OpenError> {
    let path = existing(path)?;
    // A folder on a read-only file system may have no lock, and no receiver either.
    let _lock: Option<File> = path.join("lock").exists().then(|| lock(&path)).transpose()?;
    let disk = super::observe::Observed(Folder::new(path.clone()));
    let recovered =
        recover(&disk).map_err(|error| unusable(&path, &error, "check that this user may read it"))?;
    let Recovered { state, findings, .. } = recovered;
    Ok((Shared::new(Box::new(disk), Queue::new(Options::default().gather), state), findings))
}

/// Returns the folder at `path` when it is a buffer's: it has a segment, or says which was the newest.
fn existing(path: &Path) -> Result<PathBuf, OpenError> {
    let help = "name the folder of a buffer: embedded:FOLDER";
    let folder = Folder::new(path.to_owned());
    let files = folder.list().map_err(|error| unusable(path, &error, help))?;
    if files.iter().any(|(name, _)| parse_name(name).is_some()) || marker::read(&folder).is_some() {
        return Ok(path.to_owned());
    }
    let what = format!("{} is not the folder of a buffer: it has no segment of a log", path.display());
    Err(OpenError { what, help: Some(help.to_owned()) })
}

fn report(shared: &Shared, findings: Vec<Finding>) -> Report {
    let state = shared.state();
    let numbered = (0..).zip(&state.channels).filter(|(_, channel)| !channel.name.is_empty());
    let mut channels: Vec<_> =
        numbered.map(|(number, channel)| (channel.name.clone(), state.stats(number))).collect();
    channels.sort_by(|(one, _), (other, _)| one.cmp(other));
    let bytes = state.segments.values().map(|segment| segment.len).sum();
    Report { segments: state.segments.len(), bytes, channels, findings }
}

fn export_all(
    shared: &Shared,
    take: &mut impl FnMut(&str, &Webhook, &Standing) -> io::Result<()>,
) -> io::Result<()> {
    let named = shared.state().channels.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    for (number, name) in (0..).zip(named) {
        let mut rest = listed(shared, number);
        while !rest.is_empty() {
            for stored in fetch(shared, number, &next_batch(&mut rest))?.stored {
                let mut webhook = stored.webhook;
                webhook.transit.sequence = stored.sequence;
                let what = shared.state().channel(number).and_then(|one| one.index.state_of(stored.sequence));
                take(&name, &webhook, &Standing::of(what))?;
            }
        }
    }
    Ok(())
}

/// Returns every webhook of a channel, in order.
fn listed(shared: &Shared, channel: u32) -> VecDeque<Wanted> {
    let state = shared.state();
    let index = state.channel(channel).map(|one| &one.index);
    let all = index.into_iter().flat_map(Index::all);
    let mut all: Vec<_> =
        all.map(|(sequence, slot)| Wanted { sequence, slot, tries: Tries::default() }).collect();
    all.sort_by_key(|one| one.sequence);
    all.into()
}

/// Takes as many as are read at once; at least one.
fn next_batch(rest: &mut VecDeque<Wanted>) -> Vec<Wanted> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(next) = rest.front() {
        bytes += u64::from(next.slot.len);
        if !batch.is_empty() && bytes > BATCH {
            break;
        }
        batch.extend(rest.pop_front());
    }
    batch
}

impl Standing {
    fn of(what: Option<What>) -> Self {
        match what {
            Some(What::Defer { tries, until }) => Self::Deferred { tries, until: until.map(from_micros) },
            Some(What::Park(Letter { cause, reason, at, .. })) => {
                Self::Parked { cause, reason, at: from_micros(at) }
            }
            Some(What::Remove | What::Redrive | What::Purge) | None => Self::Queued,
        }
    }
}
