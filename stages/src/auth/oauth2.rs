//! The gate that asks for an OAuth 2.0 access token.

mod cache;
mod introspection;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::time::Duration;

use engine::ack::Answer;
use engine::clock;
use engine::config::{Faults, Node, Secret, is_open};
use engine::kind::{Context, Gate};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::introspection::Introspection;
use super::remote::{Endpoint, Lookup, Patience, unknown};
use super::token::{self, Algorithm, KeySet, Keys, Leeway, OneOrMore, Rules, Trust};
use super::unauthorized;

/// Ask for an OAuth 2.0 access token, as `Authorization: Bearer TOKEN`.
///
/// Either the server that issued the token is asked whether it is good (`introspection_endpoint`, RFC 7662), or the token
/// is a JSON Web Token whose key is known (`jwt_secret`, `jwks` or `jwks_url`). While nobody can be asked, senders are
/// answered 503.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oauth2 {
    /// The word before the token.
    #[serde(default)]
    token_type: TokenType,
    /// Where to ask whether a token is good: `https`, or `http` on this machine.
    #[serde(default)]
    introspection_endpoint: Option<Endpoint>,
    /// The name by which that server knows the receiver.
    #[serde(default)]
    client_id: Option<String>,
    /// The secret that belongs to `client_id`.
    #[serde(default)]
    client_secret: Option<Secret>,
    /// How many seconds a token that was good is not asked about again, 3,600 at most, and no longer than it says itself.
    /// A token that is revoked may pass that long. 0 asks every time.
    #[serde(default)]
    cache_seconds: CacheFor,
    /// The secret that tokens are signed with, or the public key as PEM (`-----BEGIN PUBLIC KEY-----`).
    #[serde(default)]
    jwt_secret: Option<Secret>,
    /// The public keys that tokens are signed with: a JSON Web Key Set.
    #[serde(default)]
    jwks: Option<KeySet>,
    /// Where those public keys are published: `https`, or `http` on this machine.
    #[serde(default)]
    jwks_url: Option<Endpoint>,
    /// The algorithms that tokens are signed with. Default: HS256 for a secret; for public keys every one that the key can
    /// be used with.
    #[serde(default)]
    jwt_algorithms: Option<Vec<Algorithm>>,
    /// Scopes that a token must have, all of them.
    #[serde(default)]
    required_scope: Vec<String>,
    /// Who must have issued the token: its `iss`, or that of the answer, one of these.
    #[serde(default)]
    issuer: Option<OneOrMore>,
    /// For whom the token must be: its `aud`, or that of the answer, one of these. A JSON Web Token that names an audience
    /// is refused where nothing is said here.
    #[serde(default)]
    audience: Option<OneOrMore>,
    /// Refuse tokens that have expired.
    #[serde(default = "yes")]
    verify_exp: bool,
    /// How many seconds the clock of the token's issuer may be ahead or behind, 300 at most.
    #[serde(default)]
    leeway_seconds: Leeway,
    /// Seconds that a server may take to answer, 30 at most.
    #[serde(default)]
    timeout_seconds: Patience,
    /// Must be true: a token that nobody checks proves nothing.
    #[serde(default = "yes")]
    validate_token: bool,
    #[serde(skip)]
    keys: OnceLock<Keys>,
    #[serde(skip)]
    introspection: OnceLock<Introspection>,
}

fn yes() -> bool {
    true
}

/// The word before a token.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
struct TokenType(String);

impl Default for TokenType {
    fn default() -> Self {
        Self("Bearer".to_owned())
    }
}

impl TryFrom<String> for TokenType {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        if is_word { Ok(Self(word)) } else { Err("expected one word, such as `Bearer`") }
    }
}

/// How long a token that was good is not asked about again, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(inline, extend("maximum" = 3600))]
struct CacheFor(#[schemars(with = "u64")] Duration);

impl Default for CacheFor {
    fn default() -> Self {
        Self(Duration::from_secs(60))
    }
}

impl From<CacheFor> for u64 {
    fn from(CacheFor(time): CacheFor) -> Self {
        time.as_secs()
    }
}

impl TryFrom<u64> for CacheFor {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        if seconds <= 3600 {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err("expected seconds, 3600 at most")
        }
    }
}

impl Oauth2 {
    fn trust(&self) -> Trust<'_> {
        Trust {
            secret: ("jwt_secret", self.jwt_secret.as_ref()),
            jwks: self.jwks.as_ref(),
            jwks_url: self.jwks_url.as_ref(),
            algorithms: ("jwt_algorithms", self.jwt_algorithms.as_deref()),
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            issuer: self.issuer.as_ref(),
            audience: self.audience.as_ref(),
            refuses_audience: self.introspection_endpoint.is_none(),
            verify_exp: self.verify_exp,
            leeway: self.leeway_seconds.0,
            required: &[],
        }
    }

    async fn compare(&self, webhook: &Webhook) -> Result<(), Answer> {
        let token = token::presented(webhook, &self.token_type.0)?;
        if self.introspection_endpoint.is_some() {
            let asking = self.introspection.get().ok_or_else(|| unknown("nobody can be asked yet"))?;
            let judge = |claims: &Map<String, Value>| {
                self.rules().check(claims, clock::now())?;
                self.has_scopes(claims)
            };
            return asking.check(token, judge).await;
        }
        let (keys, allowed) = (self.trust().keys(&self.keys), self.jwt_algorithms.as_deref());
        let claims = token::check(token, keys, allowed, &self.rules()).await?;
        self.has_scopes(&claims).map_err(unauthorized)
    }

    /// Looks for the scopes in `scope`: words between blanks (RFC 8693 section 4.2), or a list.
    fn has_scopes(&self, claims: &Map<String, Value>) -> Result<(), &'static str> {
        let found: Vec<&str> = match claims.get("scope") {
            Some(Value::String(words)) => words.split_ascii_whitespace().collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let all = self.required_scope.iter().all(|wanted| found.contains(&wanted.as_str()));
        if all { Ok(()) } else { Err("the token lacks a scope that is required") }
    }
}

impl Gate for Oauth2 {
    const NAME: &'static str = "oauth2";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let mut complain = |key: &str, problem: &str| faults.add(&at.at().child(key), problem, None);
        if !self.validate_token {
            complain("validate_token", "a token that nobody checks proves nothing; remove it");
        }
        if self.client_id.is_some() != self.client_secret.is_some() {
            complain("client_id", "give both `client_id` and `client_secret`, or none");
        }
        let secret = self.client_secret.as_ref().map(Secret::expose).filter(|secret| !is_open(secret));
        if secret.is_some_and(str::is_empty) {
            complain("client_secret", "the secret of the client is empty");
        }
        if self.client_id.is_some() && self.introspection_endpoint.is_none() {
            complain("client_id", "it is used with `introspection_endpoint` only");
        }
        if self.required_scope.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            complain("required_scope", "a scope is one word; put several as items of the list");
        }
        if self.jwt_algorithms.is_some() && self.introspection_endpoint.is_some() {
            complain("jwt_algorithms", "it has no meaning beside `introspection_endpoint`");
        }
        if self.trust().given() + usize::from(self.introspection_endpoint.is_some()) != 1 {
            let problem = "give one of `introspection_endpoint`, `jwt_secret`, `jwks` and `jwks_url`: it says how \
                           tokens are checked";
            faults.add(at.at(), problem, None);
        }
        self.trust().check(at, faults);
    }

    fn open(&self, cx: &Context) {
        self.trust().open(Self::NAME, self.timeout_seconds.0, &self.keys, cx);
        if let Some(url) = &self.introspection_endpoint {
            let lookup = Lookup::open(Self::NAME, self.timeout_seconds.0, cx);
            let client = self.client_id.as_deref().zip(self.client_secret.as_ref());
            let opened = || Introspection::open(lookup, url, client, self.cache_seconds.0);
            self.introspection.get_or_init(opened);
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        self.compare(webhook).await.map_err(|refusal| {
            let has_challenge = refusal.status == 401 && self.token_type.0.eq_ignore_ascii_case("Bearer");
            if has_challenge { refusal.challenging(token::CHALLENGE) } else { refusal }
        })
    }
}
