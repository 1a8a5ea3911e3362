//! The time of signing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::ack::Answer;
use engine::webhook::Webhook;
use engine::{clock, moment};

use super::{last, unauthorized};

/// How far the time of signing may be from now, in seconds, where nothing else is said.
pub(in crate::auth) const TOLERANCE: u64 = 300;

/// Numbers from here on are milliseconds: as seconds they are beyond the year 5000.
const MILLISECONDS: u64 = 100_000_000_000;

/// Where the time of signing stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::auth) enum Place<'a> {
    /// In a header of its own.
    Header(&'a str),
    /// In the header of the signature, after this key and `=`.
    Item(&'a str),
}

impl Place<'_> {
    /// Returns the time as the sender wrote it.
    pub(super) fn find<'w>(self, webhook: &'w Webhook, items: &[&'w [u8]]) -> Result<&'w [u8], Answer> {
        let found = match self {
            Self::Header(name) => last(webhook, name),
            Self::Item(key) => items
                .iter()
                .find_map(|item| item.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))),
        };
        found.ok_or_else(|| unauthorized("the time of signing is missing"))
    }
}

/// Refuses what was signed too long ago, or later than now.
pub(in crate::auth) fn check(text: &[u8], tolerance: Duration) -> Result<(), Answer> {
    let time = read(text).ok_or_else(|| unauthorized("the time of signing is no time"))?;
    let now = clock::now();
    let apart = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
    if apart > tolerance {
        return Err(unauthorized("the time of signing is too far from now"));
    }
    Ok(())
}

/// Reads seconds or milliseconds since 1970, or a time in UTC as ISO 8601 has it.
fn read(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return moment::from_text(text);
    }
    let number: u64 = text.parse().ok()?;
    let since =
        if number < MILLISECONDS { Duration::from_secs(number) } else { Duration::from_millis(number) };
    UNIX_EPOCH.checked_add(since)
}
