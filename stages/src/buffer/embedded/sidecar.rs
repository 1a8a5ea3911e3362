//! What a finished segment says, without the bodies: read at opening in its place.
//!
//! `magic 4 │ version u16 │ covers u64 │ items │ crc32c u32`, big-endian; `covers` is how much of the segment it speaks for.
//! It is not synced: one that is missing, torn or damaged is made anew from the segment.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::disk::Disk;
use super::entry::Kind;
use super::index::Slot;
use super::item::{Counters, Item, VERSION, What};

/// How the name of a sidecar ends.
pub(super) const EXTENSION: &str = ".idx";

const MAGIC: &[u8; 4] = b"WCIX";
const HEAD: usize = 4 + 2 + 8;

/// Segments smaller than this are read themselves.
const WORTH_IT: u64 = if cfg!(test) { 1 << 10 } else { 64 << 10 };

/// A sidecar in the making.
#[derive(Debug)]
pub(super) struct Sidecar(BytesMut);

impl Default for Sidecar {
    fn default() -> Self {
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        out.put_u16(VERSION);
        out.put_u64(0);
        Self(out)
    }
}

impl Sidecar {
    pub(super) fn push(&mut self, item: &Item) {
        let out = &mut self.0;
        match item {
            Item::Open { .. } => {}
            Item::Channel { channel, name, counters } => {
                out.put_u8(Kind::Channel as u8);
                out.put_u32(*channel);
                counters.all().into_iter().for_each(|n| out.put_u64(n));
                put_long(out, |out| out.put_slice(name.as_bytes()));
            }
            Item::Record { channel, sequence, slot, moved } => {
                out.put_u8(if *moved { Kind::Moved } else { Kind::Record } as u8);
                out.put_u32(*channel);
                out.put_u64(*sequence);
                out.put_u64(slot.offset());
                out.put_u32(slot.len);
                out.put_u32(slot.weight);
            }
            Item::Change { channel, sequence, what } => {
                out.put_u8(what.kind() as u8);
                out.put_u32(*channel);
                out.put_u64(*sequence);
                if matches!(what, What::Defer { .. } | What::Park(_)) {
                    put_long(out, |out| what.put(out));
                }
            }
        }
    }

    /// Writes it beside its segment, for the first `covers` bytes of that. One that cannot be written is done without.
    pub(super) fn write(mut self, disk: &dyn Disk, segment: &str, covers: u64) {
        if covers < WORTH_IT {
            return;
        }
        self.0[6..HEAD].copy_from_slice(&covers.to_be_bytes());
        let sum = crc32c::crc32c(&self.0);
        self.0.put_u32(sum);
        if let Err(error) = disk.write(&name_for(segment), &self.0) {
            tracing::debug!(segment, %error, "no sidecar could be written");
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the name of a segment's sidecar.
pub(super) fn name_for(segment: &str) -> String {
    format!("{}{EXTENSION}", segment.trim_end_matches(".log"))
}

/// Reads the sidecar of segment `number`; none when it is missing, unsound, or does not cover exactly `covers` bytes.
pub(super) fn read(disk: &dyn Disk, segment: &str, number: u32, covers: u64) -> Option<Items> {
    let bytes = Bytes::from(disk.read_at(&name_for(segment), 0, usize::MAX).ok()?);
    let end = bytes.len().checked_sub(4).filter(|end| *end >= HEAD)?;
    if crc32c::crc32c(&bytes[..end]) != (&bytes[end..]).get_u32() || !bytes.starts_with(MAGIC) {
        return None;
    }
    let fits = (&bytes[4..6]).get_u16() == VERSION && (&bytes[6..HEAD]).get_u64() == covers;
    fits.then(|| Items { bytes: bytes.slice(HEAD..end), number })
}

/// The items of a sidecar, in order.
pub(super) struct Items {
    bytes: Bytes,
    number: u32,
}

impl Iterator for Items {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        // The checksum vouches for the bytes; reads are checked all the same, and a short one ends the list.
        let p = &mut self.bytes;
        let kind = Kind::of(p.try_get_u8().ok()?)?;
        let channel = p.try_get_u32().ok()?;
        if kind == Kind::Channel {
            let mut all = [0; 7];
            for n in &mut all {
                *n = p.try_get_u64().ok()?;
            }
            let name = String::from_utf8(long(p)?.to_vec()).ok()?;
            return Some(Item::Channel { channel, name, counters: Counters::of(all) });
        }
        let sequence = p.try_get_u64().ok()?;
        if matches!(kind, Kind::Record | Kind::Moved) {
            let (offset, len, weight) = (p.try_get_u64().ok()?, p.try_get_u32().ok()?, p.try_get_u32().ok()?);
            let slot = Slot::new(self.number, offset, len, weight);
            return Some(Item::Record { channel, sequence, slot, moved: kind == Kind::Moved });
        }
        let payload = if matches!(kind, Kind::Defer | Kind::Park) { long(p)? } else { Bytes::new() };
        Some(Item::Change { channel, sequence, what: What::read(kind, &payload)? })
    }
}

fn put_long(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    put(out);
    let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn long(p: &mut Bytes) -> Option<Bytes> {
    let len = p.try_get_u32().ok()? as usize;
    (p.len() >= len).then(|| p.split_to(len))
}
