//! Destinations: where webhooks are delivered to.

pub(crate) mod http_webhook;
pub(crate) mod log;
pub(crate) mod save_to_disk;
