//! Gates that ask who the sender is.
//!
//! Each reads the value of the key with its name in a webhook's entry. What the sender is told is the same for every
//! refusal; the reason is for the log.

mod api_keys;
pub(crate) mod authorization;
pub(crate) mod basic_auth;
pub(crate) mod header_auth;
pub(crate) mod hmac;
pub(crate) mod ip_whitelist;
pub(crate) mod open;
pub(crate) mod query_auth;
mod scheme;
pub(crate) mod signature;

use std::string::FromUtf8Error;

use engine::ack::Answer;
use engine::config::Secret;
use engine::webhook::Webhook;

/// Refuses a sender that did not prove who it is.
fn unauthorized(reason: &str) -> Answer {
    Answer::new(401, "Unauthorized").because(reason)
}

/// Reads UTF-8, else Latin-1. The text is wiped when dropped.
fn text(bytes: Vec<u8>) -> Secret {
    let latin = |error: FromUtf8Error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    Secret::new(String::from_utf8(bytes).unwrap_or_else(latin))
}

/// Returns the value of `name`; of repeated headers the last counts.
fn last<'a>(webhook: &'a Webhook, name: &str) -> Option<&'a [u8]> {
    webhook
        .head
        .headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .last()
        .map(|(_, value)| value)
}
