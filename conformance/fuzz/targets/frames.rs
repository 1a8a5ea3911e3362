//! Native frames: any bytes are a frame or refused, and a frame reads back from what it is written as.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use schemas::wire::frame::Frame;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
});
