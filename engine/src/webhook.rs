//! A received webhook: what was known when it arrived, and its exact body.
//!
//! The head is written once at reception and never changes; a webhook is cheap to clone because both parts are
//! shared. What changes from one delivery to the next (sequence, attempt) stands beside it in [`Transit`].

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;

use crate::ack::Ack;
use crate::clock;
use crate::headers::Headers;

/// The id a webhook keeps for life, the same on every redelivery. Prints as `msg_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// Makes a new id: a UUID of version 7, so ids sort by the time they were made.
    #[must_use]
    pub fn new() -> Self {
        // The generator of the thread: asking the system each time is a tenth of what taking a webhook costs.
        Self::of(clock::now(), &rand::random())
    }

    /// Makes the id of something made at `time`, told from its neighbours by `chance`.
    pub(crate) fn of(time: SystemTime, chance: &[u8; 10]) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, chance).into_uuid().into_bytes())
    }
}

impl Default for Id {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an [`Id`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a message id: expected `msg_` and 32 hexadecimal digits")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let hex = text.strip_prefix("msg_").filter(|hex| hex.len() == 32 && hex.is_ascii()).ok_or(NotAnId)?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        u128::from_str_radix(hex, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| NotAnId)
    }
}

/// What was known about a webhook the moment it arrived. Never changes afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message id, made at reception.
    pub id: Id,
    /// The id in the URL the sender posted to.
    pub webhook: ByteString,
    /// When the request was read whole, in whole microseconds.
    pub received: SystemTime,
    /// The address of the sender, behind trusted proxies too.
    pub source: IpAddr,
    /// The request's method, as sent.
    pub method: ByteString,
    /// The request's path and query, as sent.
    pub target: ByteString,
    /// The request's headers without the hop-by-hop ones.
    pub headers: Headers,
}

/// Where a webhook stands on its way: what differs from one delivery to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transit {
    /// The channel it travels on; empty before the buffer took it.
    pub channel: ByteString,
    /// Its place in the channel, rising across restarts; 0 before the buffer took it.
    pub sequence: u64,
    /// 1 on the first delivery.
    pub attempt: u32,
    /// When the buffer gives up on it.
    pub expires: Option<SystemTime>,
}

impl Default for Transit {
    fn default() -> Self {
        Self { channel: ByteString::new(), sequence: 0, attempt: 1, expires: None }
    }
}

/// One received webhook. Cloning it shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// What was known when it arrived.
    pub head: Arc<Head>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// Where it stands on its way.
    pub transit: Transit,
}

impl Webhook {
    /// Makes a webhook that no buffer has taken yet.
    #[must_use]
    pub fn new(head: Head, body: Bytes) -> Self {
        Self { head: Arc::new(head), body, transit: Transit::default() }
    }

    /// Returns the message id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.head.id
    }

    /// Returns what this webhook counts against byte bounds: its body, its headers and its target.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.body.len() + self.head.headers.as_bytes().len() + self.head.target.len()
    }
}

/// A webhook together with the duty to report what became of it. Not `Clone`.
#[derive(Debug)]
pub struct Event {
    /// The webhook.
    pub webhook: Webhook,
    /// The duty to report its outcome.
    pub ack: Ack,
}

/// Returns `time` as microseconds since 1970; times before that count as 0.
#[must_use]
pub fn to_micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the time that is `micros` microseconds after 1970; a value beyond the clock's range gives 1970.
#[must_use]
pub fn from_micros(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = Id::new();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in
            ["", "msg_", "msg_+1234567890123456789012345678901", "abc_00000000000000000000000000000000"]
        {
            assert_eq!(text.parse::<Id>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn microseconds_survive_the_round_trip() {
        assert_eq!(to_micros(from_micros(1_700_000_000_123_456)), 1_700_000_000_123_456);
    }
}
