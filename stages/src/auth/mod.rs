//! Gates that ask who the sender is.
//!
//! Each reads the value of the key with its name in a webhook's entry. What the sender is told is the same for every
//! refusal; the reason is for the log.

pub(crate) mod authorization;
pub(crate) mod basic_auth;
pub(crate) mod hmac;
pub(crate) mod open;
mod scheme;
pub(crate) mod signature;

use engine::ack::Answer;
use engine::webhook::Webhook;

/// Refuses a sender that did not prove who it is.
fn unauthorized(reason: &str) -> Answer {
    Answer::new(401, "Unauthorized").because(reason)
}

/// Returns the value of `name`; of repeated headers the last counts.
pub(crate) fn last<'a>(webhook: &'a Webhook, name: &str) -> Option<&'a [u8]> {
    webhook
        .head
        .headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .last()
        .map(|(_, value)| value)
}
