//! The bounds of one channel, as users set them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Faults, Pointer};
use crate::ledger::Window;

/// The bounds of one channel. Every key has a default; entries that feed one channel must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds a webhook may wait for its delivery; then it moves to the dead letters. 1 to 31,536,000.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_seconds: u64,
    /// Webhooks the channel holds at most, in flight ones included. At the bound `overflow` decides.
    #[schemars(range(min = 1))]
    pub max_queue_size: u64,
    /// Bytes the channel holds at most, in flight ones included. At the bound `overflow` decides.
    #[schemars(range(min = 1))]
    pub max_queue_bytes: u64,
    /// What happens at a bound of the queue.
    pub overflow: Overflow,
    /// Deliveries that failed, were lost or missed their deadline before a webhook moves to the dead letters. An
    /// unreachable destination does not count, and connections that end within a second of one another count once.
    #[schemars(range(min = 1))]
    pub max_deliveries: u32,
    /// Seconds a webhook may be in flight without a sign of progress before it is delivered again.
    #[schemars(range(min = 1, max = 86_400))]
    pub ack_timeout_seconds: u64,
    /// Webhooks in flight per connection.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_in_flight: usize,
    /// Bytes in flight per connection. A larger webhook passes alone.
    #[schemars(range(min = 1))]
    pub max_in_flight_bytes: usize,
    /// Connectors at a time.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_connections: usize,
    /// Seconds between signs of life on an idle connection; two missed ones end it.
    #[schemars(range(min = 1, max = 60))]
    pub heartbeat_seconds: u64,
}

/// What happens to a webhook that finds its queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Its sender gets 503 with `Retry-After`.
    #[default]
    Reject,
    /// The oldest webhook moves to the dead letters, counted as dropped.
    DropOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ttl_seconds: 86_400,
            max_queue_size: 10_000,
            max_queue_bytes: 1 << 30,
            overflow: Overflow::Reject,
            max_deliveries: 50,
            ack_timeout_seconds: 30,
            max_in_flight: 100,
            max_in_flight_bytes: 64 << 20,
            max_connections: 10,
            heartbeat_seconds: 20,
        }
    }
}

impl Limits {
    /// Complains about every bound that cannot work, at the key below `at` that sets it.
    pub fn check(&self, at: &Pointer, faults: &mut Faults) {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let bounds = [
            ("ttl_seconds", self.ttl_seconds, 31_536_000),
            ("max_queue_size", self.max_queue_size, u64::MAX),
            ("max_queue_bytes", self.max_queue_bytes, u64::MAX),
            ("max_deliveries", u64::from(self.max_deliveries), u64::MAX),
            ("ack_timeout_seconds", self.ack_timeout_seconds, 86_400),
            ("max_in_flight", wide(self.max_in_flight), 100_000),
            ("max_in_flight_bytes", wide(self.max_in_flight_bytes), u64::MAX),
            ("max_connections", wide(self.max_connections), 10_000),
            ("heartbeat_seconds", self.heartbeat_seconds, 60),
        ];
        for (key, value, most) in bounds {
            if value < 1 {
                faults.add(&at.child(key), "must be at least 1", None);
            } else if value > most {
                faults.add(&at.child(key), format!("must be at most {most}"), None);
            }
        }
    }

    /// Returns how long a webhook may wait.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds)
    }

    /// Returns how long a webhook may be in flight without a sign of progress.
    #[must_use]
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_secs(self.ack_timeout_seconds)
    }

    /// Returns how often each end of a connection gives a sign of life.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }

    /// Returns the largest window of one connection.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { events: self.max_in_flight, bytes: self.max_in_flight_bytes }
    }
}
