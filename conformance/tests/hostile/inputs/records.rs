//! Records: the input as it is, and as the content of a record whose length and checksum are right.

use bytes::{BufMut, Bytes, BytesMut};
use engine::record::{decode, encode, encoded_len};

pub(crate) fn hold(bytes: &[u8]) {
    read(Bytes::copy_from_slice(bytes));
    let mut sealed = BytesMut::new();
    sealed.put_u32(u32::try_from(bytes.len()).expect("inputs are short"));
    sealed.put_u32(crc32c::crc32c(bytes));
    sealed.put_slice(bytes);
    read(sealed.freeze());
}

fn read(mut bytes: Bytes) {
    let whole = bytes.clone();
    match decode(&mut bytes) {
        Ok(webhook) => {
            let mut written = BytesMut::new();
            encode(&webhook, &mut written);
            assert_eq!(written.len(), encoded_len(&webhook));
            assert_eq!(decode(&mut written.freeze()), Ok(webhook));
        }
        Err(_) => assert_eq!(bytes, whole),
    }
}
