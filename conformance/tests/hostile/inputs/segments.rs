//! A segment of the embedded store. The input is a list of `kind u8 │ channel u8 │ sequence u8 │ len u8 │ payload`; each
//! becomes an entry whose checksums are right, or, of kind 255, stays the bytes it is. Without that a fuzzer would meet
//! nothing but wrong checksums.

use bytes::{BufMut, BytesMut};
use stages::store;

const SALT: u64 = 0x0123_4567_89ab_cdef;

const NAME: &str = "00000001-0123456789abcdef.log";

pub(crate) fn hold(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    std::fs::write(folder.path().join(NAME), segment(bytes)).expect("there is room");
    let verified = store::verify(folder.path()).expect("the folder is a buffer's");
    let exported = store::export(folder.path(), |_, _, _| Ok(())).expect("what is open can be read");
    assert_eq!(verified.channels, exported.channels);
}

fn segment(mut input: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    while let Some((head, rest)) = input.split_first_chunk::<4>() {
        let [kind, channel, sequence, len] = *head;
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(len)));
        input = rest;
        match kind {
            255 => out.put_slice(payload),
            3 => put(&mut out, kind, channel, sequence, &record(payload)),
            _ => put(&mut out, kind, channel, sequence, payload),
        }
    }
    out
}

/// A record whose checksum is right.
fn record(content: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(content.len()).expect("payloads are short"));
    out.put_u32(crc32c::crc32c(content));
    out.put_slice(content);
    out
}

fn put(out: &mut BytesMut, kind: u8, channel: u8, sequence: u8, payload: &[u8]) {
    let mut checked = BytesMut::new();
    checked.put_slice(&[kind, 0, 0, 0]);
    checked.put_u32(channel.into());
    checked.put_u32(u32::try_from(payload.len()).expect("payloads are short"));
    checked.put_u32(crc32c::crc32c(payload));
    checked.put_u64(sequence.into());
    out.put_u32((SALT >> 32) as u32);
    out.put_u32(crc32c::crc32c_append(SALT as u32, &checked));
    out.put_slice(&checked);
    out.put_slice(payload);
}
