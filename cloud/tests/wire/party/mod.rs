//! A receiver with one channel, and clients that know nothing but bytes.

pub(crate) mod authority;
pub(crate) mod http;
pub(crate) mod receiver;
pub(crate) mod websocket;
