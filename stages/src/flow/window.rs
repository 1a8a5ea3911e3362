//! The window of flow stages where none is configured: that of a channel.

use std::num::NonZeroUsize;

use engine::limits::Limits;

pub(super) fn most_webhooks() -> NonZeroUsize {
    NonZeroUsize::new(Limits::default().max_in_flight).unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn most_bytes() -> NonZeroUsize {
    NonZeroUsize::new(Limits::default().max_in_flight_bytes).unwrap_or(NonZeroUsize::MIN)
}
