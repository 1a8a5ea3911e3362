//! How frames travel.

mod dial;
pub(crate) mod websocket;

pub(crate) use dial::{ConnectError, Dialer, tls};
