//! Gates that ask who the sender is.
//!
//! Each reads the value of the key with its name in a webhook's entry. What the sender is told is the same for every
//! refusal; the reason is for the log.

mod api_keys;
pub(crate) mod authorization;
pub(crate) mod basic_auth;
pub(crate) mod digest_auth;
pub(crate) mod header_auth;
pub(crate) mod hmac;
pub(crate) mod ip_whitelist;
pub(crate) mod jwt;
pub(crate) mod oauth2;
pub(crate) mod open;
mod params;
mod percent;
pub(crate) mod query_auth;
mod remote;
mod scheme;
mod seen;
pub(crate) mod signature;
#[cfg(test)]
mod testing;
mod token;

use std::string::FromUtf8Error;

use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
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
pub(crate) fn last<'a>(webhook: &'a Webhook, name: &str) -> Option<&'a [u8]> {
    webhook
        .head
        .headers
        .iter()
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .last()
        .map(|(_, value)| value)
}

/// Complains about a user name and a password that protect nothing, or that no sender can send.
fn check_credentials(username: &Secret, password: &Secret, at: &Node, faults: &mut Faults) {
    for (key, secret) in [("username", username), ("password", password)] {
        if secret.expose().trim().is_empty() {
            let problem = "the value is empty, so nobody could be told apart";
            faults.add(&at.at().child(key), problem, None);
        } else if secret.expose().contains(char::is_control) {
            let problem = "the value holds a control character, which a sender cannot send";
            faults.add(&at.at().child(key), problem, None);
        }
    }
    if username.expose().contains(':') {
        let problem = "a user name cannot hold `:`, which ends it";
        faults.add(&at.at().child("username"), problem, None);
    }
}
