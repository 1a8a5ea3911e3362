//! Reads a segment of the log from front to back, past what is damaged.
//!
//! A damaged payload under a sound header is passed over by its length. Where the header itself is damaged, the next sound
//! header is searched. What is not followed by anything sound is the tail.

use std::io;

use bytes::{Buf, Bytes};
use engine::record;
use engine::webhook::Webhook;

use super::disk::Disk;
use super::entry::{self, HEADER, Header, Kind, Salt};
use super::index::Slot;
use super::item::{Item, What};

/// Read from the disk at a time.
const WINDOW: usize = 4 << 20;

/// What was found at a place.
#[derive(Debug)]
pub(super) enum Found {
    /// Something sound.
    Item(Item),
    /// Bytes that say nothing any more; of which webhook, if its header is sound.
    Damaged { offset: u64, len: u64, record: Option<Header> },
    /// Nothing sound follows up to the end.
    Tail { offset: u64, len: u64 },
}

/// A segment that is being read.
pub(super) struct Scan<'a> {
    disk: &'a dyn Disk,
    name: String,
    number: u32,
    salt: Salt,
    /// Up to where it counts.
    limit: u64,
    at: u64,
    window: Bytes,
    window_at: u64,
    /// The state that came with a moved webhook.
    next: Option<Item>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(disk: &'a dyn Disk, name: String, number: u32, salt: Salt, limit: u64) -> Self {
        Self { disk, name, number, salt, limit, at: 0, window: Bytes::new(), window_at: 0, next: None }
    }

    /// Returns the next find; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some(item) = self.next.take() {
            return Ok(Some(Found::Item(item)));
        }
        if self.at >= self.limit {
            return Ok(None);
        }
        let offset = self.at;
        let Some(header) = Header::read(&self.bytes(offset, HEADER)?, self.salt) else {
            return self.resync(offset + 1).map(Some);
        };
        let len = header.entry_len();
        if offset + len as u64 > self.limit {
            return self.resync(offset + HEADER as u64).map(Some);
        }
        let whole = self.bytes(offset, len)?;
        if whole.len() < len {
            return self.resync(offset + HEADER as u64).map(Some);
        }
        let payload = whole.slice(HEADER..);
        self.at = offset + len as u64;
        let item = header.fits(&payload).then(|| self.item(&header, payload, offset)).flatten();
        let record = matches!(header.kind, Kind::Record | Kind::Moved).then_some(header);
        Ok(Some(item.map_or(Found::Damaged { offset, len: len as u64, record }, Found::Item)))
    }

    fn item(&mut self, header: &Header, payload: Bytes, offset: u64) -> Option<Item> {
        match header.kind {
            Kind::Record | Kind::Moved => {
                let moved = header.kind == Kind::Moved;
                let (state, record) = parts(moved, payload)?;
                let weight = u32::try_from(webhook_of(record)?.weight()).unwrap_or(u32::MAX);
                let len = u32::try_from(header.entry_len()).ok()?;
                let slot = Slot::new(self.number, offset, len, weight);
                let (channel, sequence) = (header.channel, header.sequence);
                self.next = state.map(|what| Item::Change { channel, sequence, what });
                Some(Item::Record { channel, sequence, slot, moved })
            }
            Kind::Open
            | Kind::Channel
            | Kind::Remove
            | Kind::Defer
            | Kind::Park
            | Kind::Redrive
            | Kind::Purge => Item::read(header, &payload),
        }
    }

    /// Goes on at the next sound header at or after `from`.
    fn resync(&mut self, mut from: u64) -> io::Result<Found> {
        let offset = self.at;
        while from + HEADER as u64 <= self.limit {
            let bytes = self.bytes(from, WINDOW)?;
            if let Some(found) = entry::next_sound(&bytes, 0, self.salt) {
                self.at = from + found as u64;
                return Ok(Found::Damaged { offset, len: self.at - offset, record: None });
            }
            if bytes.len() < HEADER {
                break;
            }
            // A header may lie across the end of the window.
            from += (bytes.len() - HEADER + 1) as u64;
        }
        self.at = self.limit;
        Ok(Found::Tail { offset, len: self.limit - offset })
    }

    /// Returns `len` bytes from `from`, fewer at the end.
    fn bytes(&mut self, from: u64, len: usize) -> io::Result<Bytes> {
        let len = len.min(usize::try_from(self.limit.saturating_sub(from)).unwrap_or(usize::MAX));
        let start = from.checked_sub(self.window_at).and_then(|start| usize::try_from(start).ok());
        if let Some(start) = start
            && start + len <= self.window.len()
        {
            return Ok(self.window.slice(start..start + len));
        }
        let rest = usize::try_from(self.limit - from).unwrap_or(usize::MAX);
        self.window = self.disk.read_at(&self.name, from, len.max(WINDOW).min(rest))?.into();
        self.window_at = from;
        Ok(self.window.slice(..len.min(self.window.len())))
    }
}

/// Parts the payload of a webhook's entry into the state that a moved one brings along, and the record.
///
/// A moved one is `kind u8 │ len u32 │ state │ record`; kind 0 means that it is queued. Both are one entry, so that a torn
/// end cannot part them.
pub(super) fn parts(moved: bool, mut payload: Bytes) -> Option<(Option<What>, Bytes)> {
    if !moved {
        return Some((None, payload));
    }
    let kind = payload.try_get_u8().ok()?;
    let len = payload.try_get_u32().ok()? as usize;
    if payload.len() < len {
        return None;
    }
    let state = payload.split_to(len);
    let what = if kind == 0 { None } else { Some(What::read(Kind::of(kind)?, &state)?) };
    Some((what, payload))
}

/// Reads the webhook in a record.
pub(super) fn webhook_of(mut payload: Bytes) -> Option<Webhook> {
    record::decode(&mut payload).ok().filter(|_| payload.is_empty())
}
