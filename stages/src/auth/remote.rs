//! What gates share that ask other servers: where, how long, how many at once, and what is told when there is no answer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::ack::Answer;
use engine::config::HIDDEN;
use engine::kind::Context;
use engine::meter::{Counter, Metric};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

/// When a sender should come again whom nobody could be asked about.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often a look-up that keeps failing is told about.
const TOLD: Duration = Duration::from_secs(30);

/// Asks a sender to come again: nothing can be said about it now, so it is neither let in nor turned away.
pub(super) fn unknown(reason: &str) -> Answer {
    Answer::new(503, "the sender cannot be verified now").retry_after(RETRY_AFTER).because(reason)
}

/// A server to ask: `https`, or `http` on this machine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("format" = "uri"))]
pub(super) struct Endpoint(#[schemars(with = "String")] pub(super) Uri);

impl TryFrom<String> for Endpoint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains(HIDDEN) {
            return Err("`***` stands where a secret was left out; put the secret, or {$VARIABLE}");
        }
        let uri: Uri = text.parse().map_err(|_| "this is not a URL")?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or("expected a URL such as `https://login.example.com/keys`")?;
        if authority.as_str().contains('@') {
            return Err("the URL holds a user name, which is not sent");
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(authority.host()) => Ok(Self(uri)),
            Some("http") => {
                Err("the URL must begin with `https://`: over `http` anybody on the way could answer")
            }
            _ => Err("the URL must begin with `https://`"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// How long a server may take to answer, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline, extend("exclusiveMinimum" = 0, "maximum" = 30))]
pub(super) struct Patience(#[schemars(with = "f64")] pub(super) Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl From<Patience> for f64 {
    fn from(Patience(wait): Patience) -> Self {
        wait.as_secs_f64()
    }
}

impl TryFrom<f64> for Patience {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if seconds > 0.0 && seconds <= 30.0 {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("expected seconds above 0, 30 at most")
        }
    }
}

/// Counts and tells when a server gives no usable answer.
pub(super) struct Failures {
    gate: &'static str,
    source: std::sync::Arc<str>,
    count: Counter,
    /// Since when there is none, and when that was told last.
    row: Mutex<Option<Row>>,
}

/// Failures in a row.
struct Row {
    since: Instant,
    told: Instant,
}

impl Failures {
    /// Makes the account of a gate behind the source that `cx` is of.
    pub(super) fn of(gate: &'static str, cx: &Context) -> Self {
        let count = cx.meter.counter(Metric::LookupFailures, &cx.name, gate);
        Self { gate, source: cx.name.clone(), count, row: Mutex::default() }
    }

    /// Counts a failure, and tells the first one in a row and then one now and again.
    pub(super) fn failed(&self, error: &str) {
        self.count.add(1);
        let now = Instant::now();
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        let told = row.as_ref().map(|row| row.told);
        if told.is_some_and(|told| now.duration_since(told) < TOLD) {
            return;
        }
        let since = row.as_ref().map_or(now, |row| row.since);
        *row = Some(Row { since, told: now });
        let (source, gate, failures) = (&self.source, self.gate, self.count.get());
        warn!(%source, gate, error, failures, "a gate gets no usable answer from the server it asks");
    }

    /// Says that there was a usable answer.
    pub(super) fn succeeded(&self) {
        let ended = self.row.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(row) = ended {
            let (source, gate, after) = (&self.source, self.gate, row.since.elapsed().as_secs());
            info!(%source, gate, seconds = after, "the server that a gate asks answers again");
        }
    }
}
