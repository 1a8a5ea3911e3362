//! The receiver: webhooks in by HTTP, webhooks out to connectors by WebSocket.
//!
//! Reading order: `receive` takes a request in and answers it by its acknowledgement; `channel` is what connectors
//! subscribe to, `direct` what this process delivers itself; `session` speaks to one of them; `listener` owns the port and joins them through `router`.

mod answer;
mod channel;
mod direct;
mod linger;
mod listener;
mod metrics;
mod receive;
mod request;
mod router;
mod session;
mod source;
mod status;
mod tables;
mod token;
mod transport;

use engine::kind::Kind;

pub use listener::{Settings, serve};

/// Returns the kinds of stage this crate has.
#[must_use]
pub fn kinds() -> [Kind; 3] {
    [
        Kind::stage::<receive::Receive>(),
        Kind::stage::<channel::WebhookConnect>(),
        Kind::stage::<direct::Direct>(),
    ]
}
