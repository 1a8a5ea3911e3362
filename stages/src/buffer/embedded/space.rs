//! Gives room back: segments that hold nothing any more are deleted, oldest first.
//!
//! Oldest first, because what says that a webhook is gone must not be deleted before the webhook itself. When more than
//! twice as much is garbage as is held, the oldest segment's webhooks are copied forward, with their state, so that it can go.
//! On a full disk the segment that is written to goes the same way before it has its size.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use engine::store::Change;
use tracing::{debug, warn};

use super::entry::Salt;
use super::fetch;
use super::index::Slot;
use super::item::Item;
use super::log::{Log, Shared};
use super::quarantine::{DAMAGED, Damage};
use super::recover::file_name;
use super::scan::{Found, Scan};
use super::sidecar;

/// Copied in one group at most, so that senders do not wait long behind it.
const STEP: u64 = 1 << 20;

/// Groups between two looks at the garbage.
const LOOK: u32 = 64;

/// This part of a segment's size must be garbage before it is ended early.
const LEAST_GARBAGE: u64 = 64;

/// What is being copied forward.
pub(super) struct Space {
    shared: Arc<Shared>,
    segment_bytes: u64,
    moving: VecDeque<(u32, u64, Slot)>,
    until_look: u32,
    last_segment: u32,
    /// True when the oldest segment is copied forward however little of it is garbage.
    pressed: bool,
}

impl Space {
    pub(super) fn new(shared: Arc<Shared>, segment_bytes: u64) -> Self {
        Self {
            shared,
            segment_bytes,
            moving: VecDeque::new(),
            until_look: 0,
            last_segment: 0,
            pressed: false,
        }
    }

    /// Returns true while something is left to copy.
    pub(super) fn is_busy(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Returns true when beginning another segment would give room back on a full disk: the oldest is the one that is written
    /// to or nothing is written to, it is mostly garbage, and the rest of it fits into `room` bytes elsewhere.
    pub(super) fn would_help(&self, log: &Log, room: u64) -> bool {
        let state = self.shared.state();
        let is_last = |number: u32| log.is_between() || number == log.current();
        let oldest = state.segments.first_key_value().filter(|(number, _)| is_last(**number));
        // Little garbage is not worth a segment for every refused webhook.
        let worth = self.segment_bytes / LEAST_GARBAGE;
        oldest.is_some_and(|(_, one)| one.len > 3 * one.held_bytes + worth && one.held_bytes <= room)
    }

    /// Ends the segment that is written to, if there is one, and begins the next, so that older ones can go.
    ///
    /// # Errors
    /// The disk has no room for the beginning of a segment.
    pub(super) fn press(&mut self, log: &mut Log) -> io::Result<()> {
        log.seal();
        log.commit(0, |_| ())?;
        self.pressed = true;
        Ok(())
    }

    /// Deletes what is empty and copies one step forward, after a group that was written.
    pub(super) fn tidy(&mut self, log: &mut Log) {
        // Until a segment of this run begins with every channel's counters, none may go.
        if log.is_between() {
            return;
        }
        if let Err(error) = self.copy_step(log) {
            debug!(%error, "webhooks cannot be copied forward now");
            self.moving.clear();
        }
        self.delete_empty(log);
        self.until_look = self.until_look.saturating_sub(1);
        if self.moving.is_empty() && (self.until_look == 0 || log.current() != self.last_segment) {
            (self.until_look, self.last_segment) = (LOOK, log.current());
            self.look(log);
        }
    }

    /// Copies everything forward that older segments hold, and deletes them.
    ///
    /// # Errors
    /// The disk refuses: it needs room for one more copy of a segment's webhooks. What was copied is.
    pub(super) fn rewrite(&mut self, log: &mut Log) -> io::Result<()> {
        log.seal();
        // A segment that begins with every channel's counters.
        log.commit(0, |_| ())?;
        let first = log.current();
        loop {
            self.delete_empty(log);
            let oldest = self.shared.state().segments.first_key_value().map(|(n, s)| (*n, *s));
            let Some((number, segment)) = oldest.filter(|(number, _)| *number < first) else { return Ok(()) };
            if segment.held == 0 {
                return Err(io::Error::other(format!(
                    "{} cannot be deleted",
                    file_name(number, segment.salt)
                )));
            }
            self.moving = self.known_in(number);
            while self.is_busy() {
                self.copy_step(log)?;
            }
        }
    }

    fn delete_empty(&self, log: &Log) {
        loop {
            let oldest = self.shared.state().segments.first_key_value().map(|(n, s)| (*n, *s));
            let Some((number, segment)) = oldest.filter(|(n, s)| *n < log.current() && s.held == 0) else {
                return;
            };
            let name = file_name(number, segment.salt);
            // Most small segments have none.
            drop(self.shared.disk.remove(&sidecar::name_for(&name)));
            if let Err(error) = self.shared.disk.remove(&name)
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(segment = name, %error, "an empty segment of the log cannot be deleted");
                return;
            }
            self.shared.state_mut().segments.remove(&number);
        }
    }

    /// Decides whether the oldest segment is copied forward, and lists what it holds.
    fn look(&mut self, log: &Log) {
        let state = self.shared.state();
        let finished = state.segments.range(..log.current());
        let (all, held) = finished.fold((0, 0), |(all, held), (_, s)| (all + s.len, held + s.held_bytes));
        if !std::mem::take(&mut self.pressed) && all - held <= 2 * held + self.segment_bytes {
            return;
        }
        let Some((number, segment)) = state.segments.first_key_value().map(|(n, s)| (*n, *s)) else { return };
        drop(state);
        match self.held_in(number, segment.salt, segment.len) {
            Ok(moving) => self.moving = moving,
            Err(error) => debug!(number, %error, "a segment cannot be read to be copied forward"),
        }
    }

    fn held_in(&self, number: u32, salt: Salt, len: u64) -> io::Result<VecDeque<(u32, u64, Slot)>> {
        let name = file_name(number, salt);
        let disk = &*self.shared.disk;
        let mut found = VecDeque::new();
        let mut keep = |item: Item| {
            if let Item::Record { channel, sequence, slot, .. } = item
                && self.is_at(channel, sequence, slot)
            {
                found.push_back((channel, sequence, slot));
            }
        };
        if let Some(items) = sidecar::read(disk, &name, number, len) {
            items.for_each(keep);
            return Ok(found);
        }
        let mut scan = Scan::new(disk, name, number, salt, len);
        while let Some(one) = scan.next()? {
            if let Found::Item(item) = one {
                keep(item);
            }
        }
        if self.shared.state().segments.get(&number).is_some_and(|one| one.held > found.len() as u64) {
            // Some of them are damaged, so that reading the segment does not show them.
            return Ok(self.known_in(number));
        }
        Ok(found)
    }

    fn known_in(&self, segment: u32) -> VecDeque<(u32, u64, Slot)> {
        let state = self.shared.state();
        let each = (0..).zip(&state.channels).flat_map(|(channel, one)| {
            let lying = one.index.all().filter(move |(_, slot)| slot.segment() == segment);
            lying.map(move |(sequence, slot)| (channel, sequence, slot))
        });
        let mut all: Vec<_> = each.collect();
        all.sort_by_key(|(_, _, slot)| slot.offset());
        all.into()
    }

    fn is_at(&self, channel: u32, sequence: u64, slot: Slot) -> bool {
        let state = self.shared.state();
        let found = state.channel(channel).and_then(|one| one.index.find(sequence));
        found.is_some_and(|wanted| wanted.slot == slot)
    }

    fn copy_step(&mut self, log: &mut Log) -> io::Result<()> {
        let mut step = Vec::new();
        let mut bytes = 0;
        while let Some((channel, sequence, slot)) = self.moving.front().copied()
            && (step.is_empty() || bytes + u64::from(slot.len) <= STEP)
        {
            self.moving.pop_front();
            if self.is_at(channel, sequence, slot) {
                bytes += u64::from(slot.len);
                step.push((channel, sequence, slot, self.read(channel, sequence, slot)?));
            }
        }
        if step.is_empty() {
            return Ok(());
        }
        log.commit(usize::try_from(bytes).unwrap_or(usize::MAX), |group| {
            for (channel, sequence, slot, record) in &step {
                match record {
                    Some(record) => group.carry(*channel, *sequence, record, slot.weight),
                    None => group.change(*channel, &Change::Purge { sequence: *sequence }),
                }
            }
        })?;
        for (channel, sequence, slot, _) in step.into_iter().filter(|(.., record)| record.is_none()) {
            note_damaged(&self.shared, channel, sequence, slot);
        }
        Ok(())
    }

    /// Reads the record of an entry; none when it is damaged.
    fn read(&self, channel: u32, sequence: u64, slot: Slot) -> io::Result<Option<Bytes>> {
        let salt = self.shared.state().segments.get(&slot.segment()).map(|segment| segment.salt);
        let Some(salt) = salt else { return Ok(None) };
        let name = file_name(slot.segment(), salt);
        let entry = Bytes::from(self.shared.disk.read_at(&name, slot.offset(), slot.len as usize)?);
        Ok(fetch::record(entry, salt, channel, sequence))
    }
}

/// Sets aside a webhook that turned out to be damaged, and counts it.
pub(super) fn note_damaged(shared: &Shared, channel: u32, sequence: u64, slot: Slot) {
    let state = shared.state();
    let name = state.channel(channel).map(|one| one.name.clone()).unwrap_or_default();
    let segment = state.segments.get(&slot.segment()).map(|one| file_name(slot.segment(), one.salt));
    drop(state);
    let segment = segment.unwrap_or_else(|| format!("{:08x}", slot.segment()));
    let (offset, len) = (slot.offset(), u64::from(slot.len));
    let damage = Damage { segment: &segment, offset, len, webhook: Some((channel, sequence)) };
    damage.quarantine(&*shared.disk, &name, DAMAGED);
    if let Some(one) = shared.state_mut().channels.get_mut(channel as usize) {
        one.quarantined += 1;
    }
}
