//! Room set aside so that webhooks can still be removed when the disk is full.

use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::disk::Disk;

const NAME: &str = "reserve";
/// Its size.
pub(super) const BYTES: usize = 1 << 20;

/// How long to wait before room is set aside again.
const AGAIN: Duration = Duration::from_secs(5);

/// A file of zeros that is given up when the disk is full.
pub(super) struct Reserve {
    is_there: bool,
    tried: Option<Instant>,
}

impl Reserve {
    /// Sets room aside, if there is any.
    pub(super) fn open(disk: &dyn Disk) -> Self {
        let is_there = disk.list().is_ok_and(|files| files.iter().any(|(name, _)| name == NAME));
        let mut reserve = Self { is_there, tried: None };
        reserve.restore(disk);
        reserve
    }

    /// Gives the room up. Returns false when there was none.
    pub(super) fn release(&mut self, disk: &dyn Disk) -> bool {
        if !self.is_there || disk.remove(NAME).is_err() {
            return false;
        }
        info!("the disk is full; the room set aside for removals is given up");
        self.is_there = false;
        self.tried = Some(Instant::now());
        true
    }

    /// Sets room aside again after a while.
    pub(super) fn restore(&mut self, disk: &dyn Disk) {
        if self.is_there || self.tried.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        self.tried = Some(Instant::now());
        match disk.write(NAME, &vec![0; BYTES]) {
            Ok(()) => self.is_there = true,
            Err(error) => debug!(%error, "no room can be set aside"),
        }
    }
}
