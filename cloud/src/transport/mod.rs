//! How a connector is connected.

pub(crate) mod websocket;
