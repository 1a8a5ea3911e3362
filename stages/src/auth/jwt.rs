//! The gate that asks for a JSON Web Token.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
use engine::kind::{Context, Gate};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::remote::{Endpoint, Patience};
use super::token::{self, Algorithm, KeySet, Keys, Leeway, OneOrMore, Rules, Trust};

/// Ask for a JSON Web Token that a trusted key has signed, as `Authorization: Bearer TOKEN`.
///
/// The keys are `secret`, `jwks` or `jwks_url`. A token that has expired is refused; one that says nothing about that is
/// good for ever unless `required_claims` has `exp`. While keys cannot be fetched, senders are answered 503.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// The secret shared with the sender, for HS256, HS384 and HS512; or the sender's public key as PEM
    /// (`-----BEGIN PUBLIC KEY-----`), for the algorithms of its kind.
    #[serde(default)]
    secret: Option<Secret>,
    /// The sender's public keys: a JSON Web Key Set. A token's `kid` picks the key.
    #[serde(default)]
    jwks: Option<KeySet>,
    /// Where the sender's public keys are published: `https`, or `http` on this machine. They are fetched in the
    /// background, again when they are no longer fresh, and when a token names a key that is not among them.
    #[serde(default)]
    jwks_url: Option<Endpoint>,
    /// The algorithm that tokens are signed with. Default: HS256 for a secret; for public keys every one that the key can
    /// be used with.
    #[serde(default)]
    algorithm: Option<Algorithm>,
    /// Several such algorithms.
    #[serde(default)]
    algorithms: Option<Vec<Algorithm>>,
    /// Who must have made the token: its `iss`, one of these.
    #[serde(default)]
    issuer: Option<OneOrMore>,
    /// For whom the token must be: its `aud`, one of these.
    #[serde(default)]
    audience: Option<OneOrMore>,
    /// Refuse tokens that have expired.
    #[serde(default = "yes")]
    verify_exp: bool,
    /// How many seconds the sender's clock may be ahead or behind, 300 at most.
    #[serde(default)]
    leeway_seconds: Leeway,
    /// Claims that a token must have, as `exp` or `sub`.
    #[serde(default)]
    required_claims: Vec<String>,
    /// Seconds that the server at `jwks_url` may take, 30 at most.
    #[serde(default)]
    timeout_seconds: Patience,
    #[serde(skip)]
    keys: OnceLock<Keys>,
}

fn yes() -> bool {
    true
}

impl Jwt {
    fn algorithms(&self) -> Option<&[Algorithm]> {
        self.algorithms.as_deref().or(self.algorithm.as_ref().map(std::slice::from_ref))
    }

    fn trust(&self) -> Trust<'_> {
        let name = if self.algorithms.is_some() { "algorithms" } else { "algorithm" };
        Trust {
            secret: ("secret", self.secret.as_ref()),
            jwks: self.jwks.as_ref(),
            jwks_url: self.jwks_url.as_ref(),
            algorithms: (name, self.algorithms()),
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            issuer: self.issuer.as_ref(),
            audience: self.audience.as_ref(),
            refuses_audience: false,
            verify_exp: self.verify_exp,
            leeway: self.leeway_seconds.0,
            required: &self.required_claims,
        }
    }
}

impl Gate for Jwt {
    const NAME: &'static str = "jwt";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.trust().given() != 1 {
            let problem = "give one of `secret`, `jwks` and `jwks_url`: it says whose tokens are trusted";
            faults.add(at.at(), problem, None);
        }
        if self.algorithm.is_some() && self.algorithms.is_some() {
            faults.add(&at.at().child("algorithm"), "give either `algorithm` or `algorithms`", None);
        }
        self.trust().check(at, faults);
    }

    fn open(&self, cx: &Context) {
        self.trust().open(Self::NAME, self.timeout_seconds.0, &self.keys, cx);
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let admitted = async {
            let token = token::presented(webhook, "Bearer")?;
            token::check(token, self.trust().keys(&self.keys), self.algorithms(), &self.rules()).await
        };
        admitted.await.map(drop).map_err(|refusal| match refusal.status {
            401 => refusal.challenging(token::CHALLENGE),
            _ => refusal,
        })
    }
}
