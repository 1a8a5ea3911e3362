//! A webhook as bytes: the same layout on disk and in a `Deliver` frame.
//!
//! `len u32 │ crc32c u32 │ id 16 │ received u64 │ head_len u32 │ head │ body`, big-endian. `len` counts what follows the
//! checksum and the checksum covers exactly that. The head is
//! `version u8 │ webhook_len u16 │ webhook │ address_len u8 │ address │ method_len u8 │ method │ target_len u32 │ target │ headers`.
//! Reading a record back slices one `Bytes`; nothing is copied. `received` is in microseconds since 1970.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::headers::Headers;
use crate::webhook::{Head, Id, Webhook, from_micros, to_micros};

/// The bytes of a record beside its head and body.
pub const OVERHEAD: usize = 4 + 4 + 16 + 8 + 4;

/// The only layout of the head so far.
const VERSION: u8 = 1;

/// A record that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Damaged {
    /// The bytes end before the record does.
    #[error("the record is cut short")]
    Short,
    /// The checksum does not fit the bytes.
    #[error("the record's checksum does not match")]
    Checksum,
    /// The checksum fits and the head still makes no sense: another program's or a later version's.
    #[error("the record's head cannot be read: {0}")]
    Head(&'static str),
}

/// Appends `webhook` as a record to `out`.
pub fn encode(webhook: &Webhook, out: &mut BytesMut) {
    let start = out.len();
    out.reserve(encoded_len(webhook));
    out.put_u64(0);
    out.put_slice(&webhook.head.id.0);
    out.put_u64(to_micros(webhook.head.received));
    let head_at = out.len();
    out.put_u32(0);
    put_head(&webhook.head, out);
    let head_len = out.len() - head_at - 4;
    out[head_at..head_at + 4].copy_from_slice(&to_u32(head_len).to_be_bytes());
    out.put_slice(&webhook.body);
    let len = to_u32(out.len() - start - 8);
    let sum = crc32c::crc32c(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Returns how many bytes [`encode`] will append.
#[must_use]
pub fn encoded_len(webhook: &Webhook) -> usize {
    let head = &webhook.head;
    let address = if head.source.is_ipv4() { 4 } else { 16 };
    let texts = head.webhook.len() + head.method.len().min(255) + head.target.len();
    OVERHEAD + 1 + 2 + 1 + address + 1 + 4 + texts + head.headers.as_bytes().len() + webhook.body.len()
}

/// Reads the record at the front of `bytes` and moves past it. The webhook shares the bytes.
///
/// # Errors
/// Says why the record cannot be read; `bytes` is then unchanged.
pub fn decode(bytes: &mut Bytes) -> Result<Webhook, Damaged> {
    let len = bytes.get(..4).map(|mut b| b.get_u32()).ok_or(Damaged::Short)?;
    let len = usize::try_from(len).map_err(|_| Damaged::Short)?;
    if bytes.len() < 8 || bytes.len() - 8 < len {
        return Err(Damaged::Short);
    }
    let sum = (&bytes[4..8]).get_u32();
    let content = bytes.slice(8..8 + len);
    if crc32c::crc32c(&content) != sum {
        return Err(Damaged::Checksum);
    }
    let webhook = content_of(content)?;
    bytes.advance(8 + len);
    Ok(webhook)
}

fn content_of(mut content: Bytes) -> Result<Webhook, Damaged> {
    if content.len() < OVERHEAD - 8 {
        return Err(Damaged::Short);
    }
    let mut id = [0; 16];
    content.copy_to_slice(&mut id);
    let received = from_micros(content.get_u64());
    let head_len = usize::try_from(content.get_u32()).unwrap_or(usize::MAX);
    if head_len > content.len() {
        return Err(Damaged::Short);
    }
    let mut head = content.split_to(head_len);
    if take(&mut head, 1)?[0] != VERSION {
        return Err(Damaged::Head("unknown version"));
    }
    let webhook = short_text(&mut head)?;
    let source = address(&mut head)?;
    let method_len = usize::from(take(&mut head, 1)?[0]);
    let method = text(take(&mut head, method_len)?)?;
    let target_len = take(&mut head, 4)?.get_u32();
    let target = text(take(&mut head, usize::try_from(target_len).unwrap_or(usize::MAX))?)?;
    let headers = Headers::decode(head).map_err(|_| Damaged::Head("headers"))?;
    let head = Head { id: Id(id), webhook, received, source, method, target, headers };
    Ok(Webhook::new(head, content))
}

fn put_head(head: &Head, out: &mut BytesMut) {
    out.put_u8(VERSION);
    out.put_u16(u16::try_from(head.webhook.len()).unwrap_or(0));
    out.put_slice(head.webhook.as_bytes());
    match head.source {
        IpAddr::V4(v4) => {
            out.put_u8(4);
            out.put_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.put_u8(16);
            out.put_slice(&v6.octets());
        }
    }
    let method = &head.method.as_bytes()[..head.method.len().min(255)];
    out.put_u8(u8::try_from(method.len()).unwrap_or(0));
    out.put_slice(method);
    out.put_u32(to_u32(head.target.len()));
    out.put_slice(head.target.as_bytes());
    out.put_slice(head.headers.as_bytes());
}

fn address(head: &mut Bytes) -> Result<IpAddr, Damaged> {
    match take(head, 1)?[0] {
        4 => Ok(Ipv4Addr::from(take(head, 4)?.get_u32()).into()),
        16 => Ok(Ipv6Addr::from(take(head, 16)?.get_u128()).into()),
        _ => Err(Damaged::Head("address")),
    }
}

fn short_text(head: &mut Bytes) -> Result<ByteString, Damaged> {
    let len = take(head, 2)?.get_u16();
    text(take(head, usize::from(len))?)
}

fn take(from: &mut Bytes, len: usize) -> Result<Bytes, Damaged> {
    if from.len() < len { Err(Damaged::Head("lengths")) } else { Ok(from.split_to(len)) }
}

fn text(bytes: Bytes) -> Result<ByteString, Damaged> {
    ByteString::try_from(bytes).map_err(|_| Damaged::Head("text"))
}

/// Sizes in a record fit 32 bits: bodies and heads are bounded far below at reception.
fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn webhook(body: &[u8], source: IpAddr, target: &str) -> Webhook {
        let head = Head {
            id: Id::new(),
            webhook: "stripe_relay".into(),
            received: from_micros(1_790_000_000_000_001),
            source,
            method: "POST".into(),
            target: target.into(),
            headers: [("content-type", "application/json"), ("x-é", "left out")].into_iter().collect(),
        };
        Webhook::new(head, Bytes::copy_from_slice(body))
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let mut out = BytesMut::new();
        encode(&webhook(b"{}", [192, 0, 2, 1].into(), "/webhook/w?a=1"), &mut out);
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&mut flipped.freeze()).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_back_whole(body: Vec<u8>, v6: bool, target in "/[a-z?=]{0,20}") {
            let source = if v6 { [7; 16].into() } else { IpAddr::from([10, 0, 0, 1]) };
            let webhook = webhook(&body, source, &target);
            let mut out = BytesMut::new();
            encode(&webhook, &mut out);
            prop_assert_eq!(out.len(), encoded_len(&webhook));
            let mut bytes = out.freeze();
            prop_assert_eq!(decode(&mut bytes), Ok(webhook));
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            drop(decode(&mut Bytes::from(bytes.clone())));
            drop(content_of(Bytes::from(bytes)));
        }
    }
}
