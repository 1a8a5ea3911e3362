//! Headers as one encoded block of names and values.
//!
//! Written once at reception, copied verbatim into the stored record and the wire frame, and walked lazily by whoever
//! wants a header. Layout, repeated: `name_len u16 │ value_len u32 │ name │ value`, big-endian. Names are ASCII; values
//! are any bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The bytes before each name: two lengths.
const PREFIX: usize = 6;

/// The headers of one webhook, in the order they were given, repeats included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

/// A block that is not a sequence of headers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the header block is damaged at byte {at}")]
pub struct BadHeaders {
    /// The offset of the entry that does not fit.
    pub at: usize,
}

impl Headers {
    /// Reads a block that [`Headers::as_bytes`] gave, checking every length and that names are ASCII.
    ///
    /// # Errors
    /// Says where the first entry stands that does not fit.
    pub fn decode(block: Bytes) -> Result<Self, BadHeaders> {
        let mut at = 0;
        while at < block.len() {
            let (name, value) = lengths(&block[at..]).ok_or(BadHeaders { at })?;
            let end = at + PREFIX + name + value;
            let names = block.get(at + PREFIX..at + PREFIX + name);
            if end > block.len() || !names.is_some_and(<[u8]>::is_ascii) {
                return Err(BadHeaders { at });
            }
            at = end;
        }
        Ok(Self(block))
    }

    /// Returns the encoded block.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Walks names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        Iter(&self.0)
    }

    /// Returns the first value of `name`, whatever the case of its letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    /// Encodes headers. A name that is not ASCII or longer than 65,535 bytes is left out: HTTP has none such.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut block = BytesMut::with_capacity(512);
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len()))
            else {
                continue;
            };
            if name.is_ascii() {
                block.put_u16(name_len);
                block.put_u32(value_len);
                block.put_slice(name.as_bytes());
                block.put_slice(value);
            }
        }
        Self(block.freeze())
    }
}

struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, value_len) = lengths(self.0)?;
        let entry = self.0.get(PREFIX..)?;
        let (name, rest) = entry.split_at_checked(name_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.0 = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

/// Reads the two lengths at the front of `entry`.
fn lengths(entry: &[u8]) -> Option<(usize, usize)> {
    let mut prefix = entry.get(..PREFIX)?;
    Some((usize::from(prefix.get_u16()), usize::try_from(prefix.get_u32()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Headers {
        [("x-tag", b"one".as_slice()), ("X-Tag", b"tw\xffo")].into_iter().collect()
    }

    #[test]
    fn repeats_keep_their_order_and_bytes() {
        let found: Vec<_> = Headers::decode(two().as_bytes().clone())
            .unwrap()
            .iter()
            .map(|(n, v)| (n.to_owned(), v.to_vec()))
            .collect();
        assert_eq!(found, [("x-tag".to_owned(), b"one".to_vec()), ("X-Tag".to_owned(), b"tw\xffo".to_vec())]);
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        assert_eq!(two().get("X-TAG"), Some(b"one".as_slice()));
        assert_eq!(two().get("absent"), None);
    }

    #[test]
    fn every_cut_of_a_block_is_refused_or_shorter() {
        let whole = two();
        let first = PREFIX + 5 + 3;
        for cut in 0..whole.as_bytes().len() {
            let read = Headers::decode(whole.as_bytes().slice(..cut));
            assert_eq!(read.is_ok(), cut == 0 || cut == first, "cut at {cut}");
        }
    }
}
