//! The end of the log: writes a group, makes it durable, and only then takes it into the state.
//!
//! After a failed write the segment is cut back to its last group. When that fails too, or when a sync failed and nobody
//! knows what is on the disk, the segment ends there: the next group opens a new one, which says up to where the old one
//! counts.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::BytesMut;
use tracing::{debug, warn};

use super::disk::{Disk, Tail};
use super::entry::Salt;
use super::group::Group;
use super::item::{Counters, Item};
use super::marker;
use super::queue::Queue;
use super::recover::file_name;
use super::sidecar::Sidecar;
use super::state::{Segment, State};

/// A segment whose sidecar has grown to this is finished, so that a log of nothing but removals does not fill the memory.
const LARGEST_SIDECAR: usize = 8 << 20;

/// What writer and readers share.
pub(super) struct Shared {
    pub(super) disk: Box<dyn Disk>,
    pub(super) queue: Queue,
    state: RwLock<State>,
}

impl Shared {
    pub(super) fn new(disk: Box<dyn Disk>, queue: Queue, state: State) -> Self {
        Self { disk, queue, state: RwLock::new(state) }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log as its one writer sees it.
pub(super) struct Log {
    shared: Arc<Shared>,
    open: Option<Open>,
    /// The segment before the next new one, and up to where it counts.
    previous: Option<(u32, u64)>,
    next: u32,
    segment_bytes: u64,
    out: BytesMut,
}

/// The segment that is written to.
struct Open {
    number: u32,
    salt: Salt,
    name: String,
    tail: Box<dyn Tail>,
    /// Up to where it is durable.
    len: u64,
    sidecar: Sidecar,
    /// Channels whose name stands in it.
    announced: HashSet<u32>,
}

/// A group that was not written.
struct Failed {
    error: io::Error,
    /// True when nobody knows what the file holds behind its last group.
    unknown: bool,
}

impl Log {
    /// Goes on after the newest segment, with a number above those that were used.
    pub(super) fn new(
        shared: Arc<Shared>,
        (newest, used): (Option<(u32, u64)>, u32),
        segment_bytes: u64,
    ) -> Self {
        let next = used + 1;
        Self { shared, open: None, previous: newest, next, segment_bytes, out: BytesMut::new() }
    }

    /// Commits the group that `fill` puts together, of about `bytes` bytes; durable when it returns.
    ///
    /// # Errors
    /// The disk refused; nothing was taken in.
    pub(super) fn commit<T>(
        &mut self,
        bytes: usize,
        fill: impl FnOnce(&mut Group<'_>) -> T,
    ) -> io::Result<T> {
        let mut open = self.segment_for(bytes as u64)?;
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        self.out.clear();
        let place = (open.number, open.salt, open.len);
        let mut group = Group::new(&state, place, &open.announced, &mut self.out);
        if open.len == 0 {
            group.open(self.previous);
        }
        let filled = fill(&mut group);
        group.finish();
        let (items, counters) = (std::mem::take(&mut group.items), std::mem::take(&mut group.counters));
        drop(state);
        let begins = open.len == 0;
        match write(&mut open, &self.out) {
            Ok(()) => {
                self.take_in(&mut open, &items);
                if begins {
                    marker::write(&*self.shared.disk, open.number);
                }
                self.open = Some(open);
                Ok(filled)
            }
            Err(failed) => Err(self.fail(open, failed, counters.into_iter())),
        }
    }

    /// Returns the number of the segment that is written to, or will be next.
    pub(super) fn current(&self) -> u32 {
        self.open.as_ref().map_or(self.next, |open| open.number)
    }

    /// Returns true when no segment is open.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_none()
    }

    /// Ends the segment that is written to.
    pub(super) fn seal(&mut self) {
        if let Some(Open { number, name, len, sidecar, .. }) = self.open.take() {
            self.previous = Some((number, len));
            sidecar.write(&*self.shared.disk, &name, len);
        }
    }

    fn segment_for(&mut self, bytes: u64) -> io::Result<Open> {
        let is_full = |open: &Open| {
            open.len > 0 && (open.len + bytes > self.segment_bytes || open.sidecar.len() > LARGEST_SIDECAR)
        };
        if self.open.as_ref().is_some_and(is_full) {
            self.seal();
        }
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let (number, salt) = (self.next, Salt(rand::random()));
        // A number is used once, so that a file which cannot be removed is never mistaken for its successor.
        self.next += 1;
        let name = file_name(number, salt);
        let tail = self.shared.disk.create(&name)?;
        let (sidecar, announced) = (Sidecar::default(), HashSet::new());
        Ok(Open { number, salt, name, tail, len: 0, sidecar, announced })
    }

    fn take_in(&self, open: &mut Open, items: &[Item]) {
        let mut state = self.shared.state_mut();
        let segment = state.segments.entry(open.number);
        segment.or_insert(Segment { salt: open.salt, len: 0, held: 0, held_bytes: 0 });
        for item in items {
            state.take_in(item);
            open.sidecar.push(item);
            if let Item::Channel { channel, .. } = item {
                open.announced.insert(*channel);
            }
        }
        open.len += self.out.len() as u64;
        if let Some(segment) = state.segments.get_mut(&open.number) {
            segment.len = open.len;
        }
    }

    fn fail(
        &mut self,
        open: Open,
        failed: Failed,
        counters: impl Iterator<Item = (u32, Counters)>,
    ) -> io::Error {
        let Failed { error, unknown } = failed;
        if open.len == 0 {
            // Nothing of it counts. A file that cannot be removed now is ignored: the next segment does not name it.
            if let Err(error) = self.shared.disk.remove(&open.name) {
                debug!(segment = open.name, %error, "a segment that was never begun is left behind");
            }
        } else if unknown {
            warn!(segment = open.name, %error, "a segment of the log ends early; a new one is begun");
            self.open = Some(open);
            self.seal();
        } else {
            self.open = Some(open);
        }
        if unknown {
            // What was written may be found again after a crash, so its sequences are not given twice.
            let mut state = self.shared.state_mut();
            for (channel, counters) in counters {
                if let Some(one) = state.channels.get_mut(channel as usize) {
                    one.counters.last_sequence = counters.last_sequence;
                }
            }
        }
        error
    }
}

fn write(open: &mut Open, bytes: &[u8]) -> Result<(), Failed> {
    if let Err(error) = open.tail.append(bytes) {
        let unknown = open.tail.truncate(open.len).is_err();
        return Err(Failed { error, unknown });
    }
    open.tail.sync().map_err(|error| {
        // Gives room back; what is left of it does not count either way.
        drop(open.tail.truncate(open.len));
        Failed { error, unknown: true }
    })
}
