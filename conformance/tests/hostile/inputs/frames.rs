//! Native frames: any bytes are a frame or refused, and a frame reads back from what it is written as.

use bytes::Bytes;
use schemas::wire::frame::Frame;

pub(crate) fn hold(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }
}
