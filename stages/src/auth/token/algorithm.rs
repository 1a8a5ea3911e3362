//! The algorithms that sign tokens (RFC 7518 section 3, RFC 8037).

use std::borrow::Cow;

use jsonwebtoken::Algorithm as Signs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

/// Every algorithm with its name. `none` is not one, and never will be.
const ALL: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm(Signs::HS256)),
    ("HS384", Algorithm(Signs::HS384)),
    ("HS512", Algorithm(Signs::HS512)),
    ("RS256", Algorithm(Signs::RS256)),
    ("RS384", Algorithm(Signs::RS384)),
    ("RS512", Algorithm(Signs::RS512)),
    ("PS256", Algorithm(Signs::PS256)),
    ("PS384", Algorithm(Signs::PS384)),
    ("PS512", Algorithm(Signs::PS512)),
    ("ES256", Algorithm(Signs::ES256)),
    ("ES384", Algorithm(Signs::ES384)),
    ("EdDSA", Algorithm(Signs::EdDSA)),
];

/// What a shared secret can be used with.
pub(super) const HMAC: &[Algorithm] =
    &[Algorithm(Signs::HS256), Algorithm(Signs::HS384), Algorithm(Signs::HS512)];
/// What an RSA key can be used with.
pub(super) const RSA: &[Algorithm] = &[
    Algorithm(Signs::RS256),
    Algorithm(Signs::RS384),
    Algorithm(Signs::RS512),
    Algorithm(Signs::PS256),
    Algorithm(Signs::PS384),
    Algorithm(Signs::PS512),
];
/// What a key on the curve P-256 can be used with.
pub(super) const P256: &[Algorithm] = &[Algorithm(Signs::ES256)];
/// What a key on the curve P-384 can be used with.
pub(super) const P384: &[Algorithm] = &[Algorithm(Signs::ES384)];
/// What an Ed25519 key can be used with.
pub(super) const ED25519: &[Algorithm] = &[Algorithm(Signs::EdDSA)];

/// An algorithm, by its name in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::auth) struct Algorithm(pub(super) Signs);

impl Algorithm {
    /// What a shared secret is used with where nothing is said.
    pub(super) const DEFAULT_OF_SECRETS: Self = Self(Signs::HS256);

    /// Finds an algorithm by its exact name, as tokens and keys have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Returns its name.
    pub(super) fn name(self) -> &'static str {
        ALL.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// Returns true when who can check a signature can also make one.
    pub(super) fn is_symmetric(self) -> bool {
        HMAC.contains(&self)
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.eq_ignore_ascii_case("none") {
            return Err("`none` is no algorithm: anybody could make such a token".to_owned());
        }
        let found = ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let all = ALL.map(|(name, _)| name).join(", ");
            format!("no algorithm is called `{name}`; there are {all}")
        })
    }
}

impl JsonSchema for Algorithm {
    fn schema_name() -> Cow<'static, str> {
        "JwtAlgorithm".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let all: Vec<Value> = ALL.iter().map(|(name, _)| json!(name)).collect();
        json_schema!({ "type": "string", "enum": all })
    }
}
