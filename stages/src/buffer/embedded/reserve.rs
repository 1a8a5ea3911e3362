//! Room set aside so that webhooks can still be removed when the disk is full.
//!
//! Removing a webhook takes room too, and gives none back before everything in the oldest segment is removed. So there is
//! the more of it the larger the segments are, and appends wait until it is set aside again.

use std::io;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::disk::Disk;
use super::writer::is_full;

const NAME: &str = "reserve";

/// This part of a segment is set aside. Removed one by one, webhooks of 512 bytes take a quarter of their own room.
const PART: u64 = 4;

/// Set aside at least, and where the disk has no room for more.
const LEAST: u64 = if cfg!(test) { 64 << 10 } else { 1 << 20 };

/// How long to wait before room is set aside again.
const AGAIN: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// Gives up the room set aside in a folder that nothing has open.
///
/// # Errors
/// The disk refuses.
pub(super) fn remove(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file that is given up when the disk is full.
pub(super) struct Reserve {
    bytes: u64,
    is_there: bool,
    /// True while appends have to wait for it.
    is_owed: bool,
    tried: Option<Instant>,
}

impl Reserve {
    /// Sets room aside, if there is any.
    pub(super) fn open(disk: &dyn Disk, segment_bytes: u64) -> Self {
        let files = disk.list().unwrap_or_default();
        let found = files.into_iter().find(|(name, _)| name == NAME).map(|(_, len)| len);
        let bytes = (segment_bytes / PART).max(LEAST);
        let is_there = found.is_some_and(|found| found >= bytes);
        if found.is_some() && !is_there {
            // Made on a full disk, or cut short by a crash. What cannot be removed is written over.
            drop(disk.remove(NAME));
        }
        let mut reserve = Self { bytes, is_there, is_owed: false, tried: None };
        reserve.restore(disk);
        if !reserve.is_there {
            (reserve.bytes, reserve.tried) = (LEAST, None);
            reserve.restore(disk);
        }
        reserve
    }

    /// Returns how much it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns true while appends must leave what room there is to removals.
    pub(super) fn is_owed(&mut self, disk: &dyn Disk) -> bool {
        self.restore(disk);
        self.is_owed
    }

    /// Gives the room up. Returns false when there was none.
    pub(super) fn release(&mut self, disk: &dyn Disk) -> bool {
        if !self.is_there || disk.remove(NAME).is_err() {
            return false;
        }
        info!("the disk is full; the room set aside for removals is given up");
        (self.is_there, self.is_owed) = (false, true);
        self.tried = Some(Instant::now());
        true
    }

    /// Sets room aside again after a while.
    pub(super) fn restore(&mut self, disk: &dyn Disk) {
        if self.is_there || self.tried.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.tried = Some(Instant::now());
        match disk.set_aside(NAME, self.bytes) {
            Ok(()) => (self.is_there, self.is_owed) = (true, false),
            Err(error) => {
                self.is_owed |= is_full(&error);
                debug!(%error, "no room can be set aside");
            }
        }
    }
}
