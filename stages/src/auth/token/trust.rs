//! The settings that say whose tokens a gate trusts.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use engine::config::{Faults, Node, Secret, is_open};
use engine::kind::Context;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::key::{Key, from_set};
use super::published::Published;
use super::ring::Ring;
use crate::auth::remote::Endpoint;

/// A secret that is shorter can be found by trying (RFC 7518 section 3.2), in bytes.
const SHORTEST: usize = 32;

/// The keys that a gate checks tokens with.
#[derive(Debug)]
pub(in crate::auth) enum Keys {
    /// Those of its settings.
    Fixed(Ring),
    /// Those published at a URL.
    Published(Published),
}

/// Public keys as a JSON Web Key Set.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(in crate::auth) struct KeySet(Value);

impl KeySet {
    fn keys(&self) -> Vec<Key> {
        from_set(&self.0).map(|(keys, _)| keys).unwrap_or_default()
    }
}

impl TryFrom<Value> for KeySet {
    type Error = String;

    fn try_from(set: Value) -> Result<Self, String> {
        let (keys, unusable) = from_set(&set)?;
        let own = set["keys"].as_array().into_iter().flatten();
        if own.into_iter().any(|key| ["d", "k"].iter().any(|part| key.get(part).is_some())) {
            return Err("the set holds a key that is secret; put the public keys only".to_owned());
        }
        match unusable.into_iter().next() {
            Some(why) => Err(why),
            None if keys.is_empty() => Err("the set has no key for signatures".to_owned()),
            None => Ok(Self(set)),
        }
    }
}

impl JsonSchema for KeySet {
    fn schema_name() -> Cow<'static, str> {
        "KeySet".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["keys"],
            "properties": {
                "keys": {
                    "description": "The keys: RSA, P-256, P-384 or Ed25519.",
                    "type": "array",
                    "items": { "type": "object" },
                },
            },
        })
    }
}

/// The settings of a gate that say whose tokens it trusts, with the names they have there.
pub(in crate::auth) struct Trust<'a> {
    /// A shared secret, or a public key as PEM.
    pub(in crate::auth) secret: (&'static str, Option<&'a Secret>),
    /// Public keys.
    pub(in crate::auth) jwks: Option<&'a KeySet>,
    /// Where public keys are published.
    pub(in crate::auth) jwks_url: Option<&'a Endpoint>,
    /// With which algorithms tokens may be signed.
    pub(in crate::auth) algorithms: (&'static str, Option<&'a [Algorithm]>),
}

impl Trust<'_> {
    /// Returns how many of the settings that name keys are given.
    pub(in crate::auth) fn given(&self) -> usize {
        [self.secret.1.is_some(), self.jwks.is_some(), self.jwks_url.is_some()]
            .iter()
            .filter(|given| **given)
            .count()
    }

    /// Complains about keys that are none, and about algorithms that the keys cannot be used with.
    pub(in crate::auth) fn check(&self, at: &Node, faults: &mut Faults) {
        let (name, secret) = self.secret;
        let secret = secret.map(Secret::expose).filter(|secret| !is_open(secret));
        let place = at.at().child(name);
        let mut keys = self.jwks.map(KeySet::keys).unwrap_or_default();
        match secret.map(Key::from_text) {
            _ if secret.is_some_and(|secret| secret.trim().is_empty()) => {
                faults.add(&place, "the secret is empty, so anybody could make a token", None);
            }
            Some(Err(why)) => faults.add(&place, why, None),
            Some(Ok(key)) => keys.push(key),
            None => {}
        }
        let is_short = secret.is_some_and(|secret| secret.len() < SHORTEST && !secret.trim().is_empty());
        if is_short {
            let problem = "the secret has fewer than 32 bytes: who sees one token can find it by trying";
            faults.warn(&place, problem);
        }
        let (name, algorithms) = self.algorithms;
        let place = at.at().child(name);
        if algorithms.is_some_and(<[_]>::is_empty) {
            faults.add(&place, "the list is empty, so no token could pass", None);
        }
        for algorithm in algorithms.unwrap_or_default() {
            let unfit = match keys.first() {
                Some(key) => {
                    let fits = keys.iter().any(|key| key.algorithms.contains(algorithm));
                    (!fits).then_some(key.kind)
                }
                None => (self.jwks_url.is_some() && algorithm.is_symmetric()).then_some("public keys"),
            };
            if let Some(kind) = unfit {
                let name = algorithm.name();
                let problem = format!("`{name}` cannot be used with {kind}, so no such token could pass");
                faults.add(&place, problem, None);
            }
        }
    }

    /// Returns the keys that the settings hold, read at the first call; where they are published elsewhere, none before
    /// [`Trust::open`].
    pub(in crate::auth) fn keys<'k>(&self, kept: &'k OnceLock<Keys>) -> Option<&'k Keys> {
        if self.jwks_url.is_some() {
            return kept.get();
        }
        let read = || {
            let secret = self.secret.1.and_then(|secret| Key::from_text(secret.expose()).ok());
            Keys::Fixed(Ring(
                secret.into_iter().chain(self.jwks.into_iter().flat_map(KeySet::keys)).collect(),
            ))
        };
        Some(kept.get_or_init(read))
    }

    /// Begins to fetch keys that are published elsewhere.
    pub(in crate::auth) fn open(
        &self,
        gate: &'static str,
        patience: Duration,
        kept: &OnceLock<Keys>,
        cx: &Context,
    ) {
        if let Some(url) = self.jwks_url {
            kept.get_or_init(|| Keys::Published(Published::open(gate, url, patience, cx)));
        }
    }
}
