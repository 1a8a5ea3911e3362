//! Reading binary fields without ever reading past the end.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::frame::Malformed;

/// Reads fields from the front of a frame.
#[derive(Debug)]
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn bytes(&mut self, len: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < len { Err(Malformed::Short) } else { Ok(self.0.split_to(len)) }
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.bytes(1).map(|mut b| b.get_u8())
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.bytes(2).map(|mut b| b.get_u16())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.bytes(4).map(|mut b| b.get_u32())
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.bytes(8).map(|mut b| b.get_u64())
    }

    pub(super) fn text(&mut self) -> Result<ByteString, Malformed> {
        let len = usize::from(self.u16()?);
        ByteString::try_from(self.bytes(len)?).map_err(|_| Malformed::Text)
    }

    /// Reads a count and then as many items, each of which takes at least `least` bytes.
    pub(super) fn list<T>(
        &mut self,
        least: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if count.saturating_mul(least) > self.0.len() {
            return Err(Malformed::Short);
        }
        (0..count).map(|_| item(self)).collect()
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }
}
