//! The one driver of buffers: durable intake on one side, sessions with windows on the other.
//!
//! A buffer owns its channel. It commits what arrives and only then reports it as delivered to whoever sent it; it hands
//! webhooks to sessions, each within its window, and removes one only when its session reported it as delivered. Every
//! webhook that is not settled has one owner: its place in the store, a timer, or a session.
//!
//! The parts: `intake` commits new webhooks within the bounds of the queue; `sessions` knows who takes webhooks and
//! how much room they have; `tracked` knows what became of each webhook that was handed out; `changes` makes it
//! durable; `driver` is the loop that joins them, with what it does in `handing`, `settling`, `timing`, `answers`. A store only keeps: `memory` and `embedded` implement
//! [`engine::store::Store`].

mod answers;
mod changes;
mod driver;
mod early;
pub(crate) mod embedded;
mod episode;
mod handing;
mod intake;
pub(crate) mod memory;
mod reading;
mod sessions;
mod settling;
mod taps;
mod timing;
mod tracked;

use engine::kind::{Context, Stage, StageError, Wiring};
use engine::limits::Limits;
use engine::store::Store;
use futures::future::BoxFuture;

use driver::Driver;
pub use memory::Memory;

/// Makes the stage that buffers the webhooks of `channel` in `store`, which nobody else may use meanwhile.
pub fn stage<S: Store>(channel: String, limits: Limits, store: S, cx: &Context) -> Box<dyn Stage> {
    Box::new(Buffer { channel, limits, store, cx: cx.clone() })
}

/// A buffer whose store is open.
pub(crate) struct Buffer<S> {
    pub(crate) channel: String,
    pub(crate) limits: Limits,
    pub(crate) store: S,
    pub(crate) cx: Context,
}

impl<S: Store> Stage for Buffer<S> {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let input = wiring.input.ok_or_else(|| StageError("a buffer needs an input".to_owned()))?;
            let demand = wiring.demand.ok_or_else(|| StageError("a buffer needs an outlet".to_owned()))?;
            Box::pin(Driver::new(*self).run(input, demand)).await
        })
    }
}

#[cfg(test)]
mod tests;
