//! Asking the server that issued a token whether it is good (RFC 7662).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::ack::Answer;
use engine::clock;
use engine::config::Secret;
use http::HeaderValue;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::cache::{Cache, hash};
use crate::auth::remote::{Endpoint, Lookup};
use crate::auth::unauthorized;

/// The server, and what it said of late.
pub(super) struct Introspection {
    lookup: Lookup,
    url: Endpoint,
    /// How the server knows us.
    credentials: Option<HeaderValue>,
    /// How long a token that is good is not asked about again.
    keep: Duration,
    good: Mutex<Cache>,
}

impl Introspection {
    /// Makes what asks `url`, as the client with this id and secret.
    pub(super) fn open(
        lookup: Lookup,
        url: &Endpoint,
        client: Option<(&str, &Secret)>,
        keep: Duration,
    ) -> Self {
        let credentials = client.map(|(id, secret)| basic(id, secret));
        Self { lookup, url: url.clone(), credentials, keep, good: Mutex::default() }
    }

    /// Lets a token pass that the server calls active and of whose answer `judge` approves.
    ///
    /// # Errors
    /// The answer to the sender: 401 when the token is not good, 503 when the server does not say.
    pub(super) async fn check(
        &self,
        token: &str,
        judge: impl FnOnce(&Map<String, Value>) -> Result<(), &'static str>,
    ) -> Result<(), Answer> {
        let hash = hash(token);
        if self.good().has(&hash) {
            return Ok(());
        }
        let form = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.lookup.post(&self.url, self.credentials.clone(), &form, read).await?;
        let claims = answer.ok_or_else(|| unauthorized("the token is not active"))?;
        judge(&claims).map_err(unauthorized)?;
        let keep = left(&claims).map_or(self.keep, |left| left.min(self.keep));
        if !keep.is_zero() {
            self.good().keep(hash, Instant::now() + keep);
        }
        Ok(())
    }

    fn good(&self) -> MutexGuard<'_, Cache> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what the server says of a token; none when it is not active. Members that are not of the form the standard gives
/// them are left out: their form is no fault of the sender.
fn read(answer: &Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
    match answer.get("active") {
        Some(Value::Bool(false)) => Ok(None),
        Some(Value::Bool(true)) => {
            let known = answer.iter().filter(|(name, value)| match name.as_str() {
                "exp" | "nbf" => value.is_number(),
                "iss" | "aud" | "scope" => true,
                _ => false,
            });
            Ok(Some(known.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        _ => Err("the server's answer does not say whether the token is active".to_owned()),
    }
}

/// Returns how long the token is still good by its own words.
fn left(claims: &Map<String, Value>) -> Option<Duration> {
    let end = claims.get("exp")?.as_f64()?;
    let now = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Some(Duration::try_from_secs_f64((end - now).max(0.0)).unwrap_or(Duration::MAX))
}

/// Writes the client's id and secret as the server wants them (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &Secret) -> HeaderValue {
    let escaped = |text: &str| {
        let mut pair = String::new();
        engine::query::add(&mut pair, "", text);
        pair.split_off(1)
    };
    let pair = Secret::new(format!("{}:{}", escaped(id), escaped(secret.expose())));
    let text = format!("Basic {}", STANDARD.encode(pair.expose()));
    let mut value = HeaderValue::try_from(text).expect("base64 has no character that a header cannot hold");
    value.set_sensitive(true);
    value
}
