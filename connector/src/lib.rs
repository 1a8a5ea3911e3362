//! The local end: webhooks in from the stream, settlements out.
//!
//! Reading order: the settings of the `subscribe` source and the source itself, which keeps one connection per channel
//! alive; a connection's greeting and session; the work in progress, which outlives connections; what is told of it; the
//! transport beneath; and the status for people and probes.

mod settings;

mod subscribe;

mod address;

mod greeting;

mod session;

mod work;

mod settle;

mod recent;

mod reconnect;

mod transport;

mod status;

mod serve;

mod stop;

use engine::kind::Kind;

pub use serve::{Admin, serve_status};
pub use transport::{Dial, Network, Stream};

/// Returns every kind of stage this crate has.
#[must_use]
pub fn kinds() -> [Kind; 1] {
    [Kind::stage::<settings::Subscribe>()]
}
