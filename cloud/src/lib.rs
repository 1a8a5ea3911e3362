//! The receiver: webhooks in by HTTP, webhooks out to connectors by WebSocket, server-sent events and long poll.
//!
//! Reading order: `receive` takes a request in and answers it by its acknowledgement; `channel` is what connectors
//! subscribe to, `direct` what this process delivers itself; `session` speaks to one of them, by a `transport`; `listener` owns
//! the port, with `tls` when it is encrypted, and joins them through `router`.

mod acceptor;
mod accepts;
mod acknowledge;
mod announced;
mod answer;
mod body;
mod channel;
mod connect;
mod direct;
mod held;
mod holder;
mod leaving;
mod linger;
mod listener;
mod metrics;
mod receive;
mod reload;
mod request;
mod response;
mod router;
mod session;
mod settlements;
mod source;
mod status;
mod tables;
mod tls;
mod token;
mod transport;

use engine::kind::Kind;

pub use acceptor::{Accepted, Acceptor, Hold};
pub use listener::{Settings, serve};
pub use tls::{Tls, TlsError, TlsFiles};

/// Returns the kinds of stage this crate has.
#[must_use]
pub fn kinds() -> [Kind; 3] {
    [
        Kind::stage::<receive::Receive>(),
        Kind::stage::<channel::WebhookConnect>(),
        Kind::stage::<direct::Direct>(),
    ]
}
