//! What a token must say (RFC 7519 section 4.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the settings of a gate demand of a token.
pub(in crate::auth) struct Rules<'a> {
    /// Who may have made it; none means anybody who has a key.
    pub(in crate::auth) issuer: Option<&'a OneOrMore>,
    /// For whom it may be; none means that nothing is said.
    pub(in crate::auth) audience: Option<&'a OneOrMore>,
    /// Whether a token for somebody is refused when nothing is said about audiences.
    pub(in crate::auth) refuses_audience: bool,
    /// Whether a token that has expired is refused.
    pub(in crate::auth) verify_exp: bool,
    /// How far the clocks may be apart.
    pub(in crate::auth) leeway: Duration,
    /// What it must hold.
    pub(in crate::auth) required: &'a [String],
}

impl Rules<'_> {
    /// Compares `claims` with the rules.
    ///
    /// # Errors
    /// What is wrong with them, for the log.
    pub(in crate::auth) fn check(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<(), &'static str> {
        let claim = |name: &str| claims.get(name).filter(|value| !value.is_null());
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (early, late) = (now - self.leeway.as_secs_f64(), now + self.leeway.as_secs_f64());
        let time =
            |name: &str| claim(name).map(|time| time.as_f64().ok_or("a time in the token is no number"));
        if self.verify_exp && time("exp").transpose()?.is_some_and(|end| end <= early) {
            return Err("the token has expired");
        }
        if time("nbf").transpose()?.is_some_and(|begin| begin > late) {
            return Err("the token is not valid yet");
        }
        if time("iat").transpose()?.is_some_and(|made| made > late) {
            return Err("the token was made in the future");
        }
        if claim("sub").is_some_and(|subject| !subject.is_string()) {
            return Err("the token's subject is no text");
        }
        let issued =
            |issuer: &OneOrMore| claim("iss").and_then(Value::as_str).is_some_and(|by| issuer.has(by));
        if !self.issuer.is_none_or(issued) {
            return Err("the token has another issuer");
        }
        match (self.audience, claim("aud")) {
            (None, Some(_)) if self.refuses_audience => {
                return Err("the token is for an audience, and the settings name none");
            }
            (Some(wanted), found) if !found.is_some_and(|found| is_for(found, wanted)) => {
                return Err("the token is for another audience");
            }
            _ => {}
        }
        if self.required.iter().any(|name| claim(name).is_none()) {
            return Err("the token lacks a claim that is required");
        }
        Ok(())
    }
}

/// Tells whether an audience, a text or a list of texts, has one that is wanted.
fn is_for(audience: &Value, wanted: &OneOrMore) -> bool {
    let named = |one: &Value| one.as_str().is_some_and(|one| wanted.has(one));
    audience.as_array().map_or_else(|| named(audience), |all| all.iter().any(named))
}

/// A text, or a list of texts.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(in crate::auth) struct OneOrMore(Vec<String>);

impl OneOrMore {
    fn has(&self, text: &str) -> bool {
        self.0.iter().any(|one| one == text)
    }
}

impl TryFrom<Value> for OneOrMore {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let all = if let Value::Array(items) = value { items } else { vec![value] };
        let text = |item: Value| item.as_str().map(str::to_owned);
        let all: Option<Vec<String>> = all.into_iter().map(text).collect();
        let all = all.ok_or("expected a text, or a list of texts")?;
        if all.is_empty() || all.iter().any(|one| one.trim().is_empty()) {
            return Err("the value is empty, so no token could have it; leave the key out to ask for none");
        }
        Ok(Self(all))
    }
}

impl JsonSchema for OneOrMore {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMore".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// How far the clocks of two machines may be apart, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(inline, extend("maximum" = 300))]
pub(in crate::auth) struct Leeway(#[schemars(with = "u64")] pub(in crate::auth) Duration);

impl Default for Leeway {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl From<Leeway> for u64 {
    fn from(Leeway(leeway): Leeway) -> Self {
        leeway.as_secs()
    }
}

impl TryFrom<u64> for Leeway {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        if seconds <= 300 {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err("expected seconds, 300 at most")
        }
    }
}
