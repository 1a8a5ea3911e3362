//! What gates share that ask other servers: where, how long, how many at once, and what is told when there is no answer.

mod failures;
mod lookup;

pub(super) use failures::Failures;
pub(super) use lookup::Lookup;

use std::time::Duration;

use engine::ack::Answer;
use engine::config::HIDDEN;
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a sender should come again whom nobody could be asked about.
const RETRY_AFTER: Duration = Duration::from_secs(5);

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
