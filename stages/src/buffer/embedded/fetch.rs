//! Reads webhooks from the segments, several at once where they lie together.

use std::io;

use bytes::Bytes;
use engine::store::Stored;
use engine::webhook::Webhook;

use super::disk::Disk;
use super::entry::{HEADER, Header, Kind, Salt};
use super::index::{Slot, Wanted};
use super::log::Shared;
use super::recover::file_name;
use super::scan::{parts, webhook_of};

/// Read at once at most. Webhooks share the bytes they were read with, so one that stays long keeps this much.
const RUN: u64 = 128 << 10;

/// What came of a read.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) stored: Vec<Stored>,
    /// Damaged ones and where they lie.
    pub(super) damaged: Vec<(u64, Slot)>,
    /// Those that were moved or removed while they were read.
    pub(super) moved: Vec<u64>,
}

/// Reads `wanted` of a channel, in order. Blocks.
///
/// # Errors
/// The disk cannot be read at the moment.
pub(super) fn fetch(shared: &Shared, channel: u32, wanted: &[Wanted]) -> io::Result<Fetched> {
    let mut fetched = Fetched::default();
    for run in wanted.chunk_by(lies_together).flat_map(cut) {
        fetch_run(shared, channel, run, &mut fetched)?;
    }
    Ok(fetched)
}

fn lies_together(one: &Wanted, next: &Wanted) -> bool {
    let end = one.slot.offset() + u64::from(one.slot.len);
    one.slot.segment() == next.slot.segment() && next.slot.offset() == end
}

/// Cuts what lies together into runs of a size.
fn cut(run: &[Wanted]) -> Vec<&[Wanted]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, one) in run.iter().enumerate() {
        let len = u64::from(one.slot.len);
        if bytes + len > RUN && at > start {
            runs.push(&run[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += len;
    }
    runs.push(&run[start..]);
    runs
}

fn fetch_run(shared: &Shared, channel: u32, run: &[Wanted], fetched: &mut Fetched) -> io::Result<()> {
    let Some(first) = run.first() else { return Ok(()) };
    let (segment, start) = (first.slot.segment(), first.slot.offset());
    let salt = shared.state().segments.get(&segment).map(|segment| segment.salt);
    let len: usize = run.iter().map(|one| one.slot.len as usize).sum();
    let bytes = match salt {
        Some(salt) => read(&*shared.disk, &file_name(segment, salt), start, len)?,
        None => None,
    };
    let (Some(bytes), Some(salt)) = (bytes, salt) else {
        gone(shared, channel, run, fetched);
        return Ok(());
    };
    for one in run {
        let from = usize::try_from(one.slot.offset() - start).unwrap_or(usize::MAX);
        let to = from.saturating_add(one.slot.len as usize);
        let entry = (to <= bytes.len()).then(|| bytes.slice(from..to));
        match entry.and_then(|entry| open(entry, salt, channel, one.sequence)) {
            Some(webhook) => {
                fetched.stored.push(Stored { sequence: one.sequence, tries: one.tries, webhook });
            }
            None => fetched.damaged.push((one.sequence, one.slot)),
        }
    }
    Ok(())
}

/// Reads bytes of a file; none when it is not there.
fn read(disk: &dyn Disk, name: &str, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
    match disk.read_at(name, offset, len) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(entry: Bytes, salt: Salt, channel: u32, sequence: u64) -> Option<Webhook> {
    webhook_of(record(entry, salt, channel, sequence)?)
}

/// Checks an entry and takes the record out of it.
pub(super) fn record(entry: Bytes, salt: Salt, channel: u32, sequence: u64) -> Option<Bytes> {
    let header = Header::read(&entry, salt)?;
    let payload = entry.slice(HEADER..);
    let is_it = header.channel == channel && header.sequence == sequence && header.fits(&payload);
    is_it.then(|| parts(header.kind == Kind::Moved, payload))?.map(|(_, record)| record)
}

/// A segment is not there: its webhooks were moved or removed since, or the file was taken away behind our back.
fn gone(shared: &Shared, channel: u32, run: &[Wanted], fetched: &mut Fetched) {
    let state = shared.state();
    let index = state.channel(channel).map(|one| &one.index);
    for one in run {
        if index.and_then(|index| index.find(one.sequence)).is_some_and(|now| now.slot == one.slot) {
            fetched.damaged.push((one.sequence, one.slot));
        } else {
            fetched.moved.push(one.sequence);
        }
    }
}
