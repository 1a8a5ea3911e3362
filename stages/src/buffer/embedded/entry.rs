//! One entry of the log: a header that vouches for itself, and a payload the header vouches for.
//!
//! `magic u32 │ check u32 │ kind u8, 3 zeros │ channel u32 │ len u32 │ sum u32 │ sequence u64 │ payload`, big-endian. `check`
//! is the crc32c of the header behind it, `sum` that of the payload of `len` bytes. Both `magic` and the start value of `check`
//! are the segment's salt, a random number that stands in its file name: a sender cannot put bytes into a body that
//! pass for an entry when a damaged segment is searched for the next sound one.

use bytes::{Buf, BufMut, BytesMut};

/// Bytes before the payload.
pub(super) const HEADER: usize = 32;

/// What tells a segment's entries from any other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt(pub(super) u64);

impl Salt {
    fn magic(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        [a, b, c, d]
    }

    fn seed(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The segment begins; where the one before it ended.
    Open = 1,
    /// A channel's name and counters.
    Channel = 2,
    /// A webhook that was accepted.
    Record = 3,
    /// A webhook copied from an older segment.
    Moved = 4,
    /// A webhook was delivered.
    Remove = 5,
    /// A webhook waits for its time.
    Defer = 6,
    /// A webhook is in the dead letters.
    Park = 7,
    /// A webhook is out of the dead letters.
    Redrive = 8,
    /// A webhook was thrown away.
    Purge = 9,
}

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Channel,
            3 => Self::Record,
            4 => Self::Moved,
            5 => Self::Remove,
            6 => Self::Defer,
            7 => Self::Park,
            8 => Self::Redrive,
            9 => Self::Purge,
            _ => return None,
        })
    }
}

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) channel: u32,
    pub(super) len: u32,
    pub(super) sum: u32,
    pub(super) sequence: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`; none when it is not sound.
    pub(super) fn read(bytes: &[u8], salt: Salt) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        if header[..4] != salt.magic() {
            return None;
        }
        let check = (&header[4..8]).get_u32();
        if crc32c::crc32c_append(salt.seed(), &header[8..]) != check {
            return None;
        }
        let mut rest = &header[12..];
        Some(Self {
            kind: Kind::of(header[8])?,
            channel: rest.get_u32(),
            len: rest.get_u32(),
            sum: rest.get_u32(),
            sequence: rest.get_u64(),
        })
    }

    /// Returns true when `payload` is what the header vouches for.
    pub(super) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && crc32c::crc32c(payload) == self.sum
    }

    /// Returns the bytes of the whole entry.
    pub(super) fn entry_len(&self) -> usize {
        HEADER + self.len as usize
    }
}

/// Appends an entry whose payload is what `payload` appends. Returns where in `out` it begins and its length.
pub(super) fn put(
    out: &mut BytesMut,
    salt: Salt,
    (kind, channel, sequence): (Kind, u32, u64),
    payload: impl FnOnce(&mut BytesMut),
) -> (usize, u32) {
    let start = out.len();
    out.put_bytes(0, HEADER);
    payload(out);
    let sum = crc32c::crc32c(&out[start + HEADER..]);
    // A payload is one record, which is bounded far below 4 GiB at reception.
    let len = u32::try_from(out.len() - start - HEADER).unwrap_or(u32::MAX);
    let mut header = &mut out[start..start + HEADER];
    header.put_slice(&salt.magic());
    header.put_u32(0);
    header.put_u8(kind as u8);
    header.put_bytes(0, 3);
    header.put_u32(channel);
    header.put_u32(len);
    header.put_u32(sum);
    header.put_u64(sequence);
    let check = crc32c::crc32c_append(salt.seed(), &out[start + 8..start + HEADER]);
    out[start + 4..start + 8].copy_from_slice(&check.to_be_bytes());
    (start, len.saturating_add(32))
}

/// Returns where the next sound header stands in `bytes`, at or after `from`.
pub(super) fn next_sound(bytes: &[u8], from: usize, salt: Salt) -> Option<usize> {
    let magic = salt.magic();
    let mut at = from;
    while let Some(found) = bytes.get(at..)?.windows(4).position(|four| four == magic) {
        at += found;
        if Header::read(&bytes[at..], salt).is_some() {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(0x0123_4567_89ab_cdef);

    fn one(payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        put(&mut out, SALT, (Kind::Park, 7, 9), |out| out.put_slice(payload));
        out
    }

    #[test]
    fn an_entry_reads_back() {
        let out = one(b"payload");
        let header = Header::read(&out, SALT).unwrap();
        assert_eq!((header.kind, header.channel, header.sequence, header.len), (Kind::Park, 7, 9, 7));
        assert!(header.fits(&out[HEADER..]));
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        for bit in 0..one(b"payload").len() * 8 {
            let mut out = one(b"payload");
            out[bit / 8] ^= 1 << (bit % 8);
            let sound = Header::read(&out, SALT).is_some_and(|header| header.fits(&out[HEADER..]));
            assert!(!sound, "bit {bit}");
        }
    }

    #[test]
    fn the_entry_of_another_segment_is_no_entry() {
        assert_eq!(Header::read(&one(b""), Salt(1)), None);
        assert_eq!(next_sound(&one(b""), 0, Salt(1)), None);
    }

    #[test]
    fn the_next_sound_entry_is_found_behind_rubbish() {
        let mut bytes = vec![0x01, 0x23, 0x45, 0x67, 1, 2, 3];
        bytes.extend_from_slice(&one(b"x"));
        assert_eq!(next_sound(&bytes, 0, SALT), Some(7));
    }
}
