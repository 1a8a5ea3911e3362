//! How a connector is connected.

mod compatible;
mod native;
pub(crate) mod poll;
pub(crate) mod sse;
pub(crate) mod websocket;
