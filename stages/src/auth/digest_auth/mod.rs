//! The gate that asks for a user name and a password without having them sent (RFC 7616).

mod nonce;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;
use std::time::Duration;

use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
use engine::kind::Gate;
use engine::webhook::Webhook;
use md5::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use self::nonce::Nonces;
use super::params::Params;
use super::percent;
use super::{check_credentials, unauthorized};

/// How long a nonce may live, in seconds: where nothing is said, and at most.
const LIFETIME: u64 = 300;
const LONGEST: u64 = 86_400;

/// Ask for a user name and a password, as HTTP Digest authentication proves them.
///
/// A sender that proves nothing is challenged with a nonce, and computes from it and the password what it sends with its next
/// request. A nonce can be used many times, each time with a greater count, so that a request that somebody recorded is
/// refused. What is proved covers the method and the address, and not the body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DigestAuth {
    /// The user name. It cannot hold a colon.
    username: Secret,
    /// The password.
    password: Secret,
    /// What the sender is told it needs the password for.
    #[serde(default)]
    realm: Realm,
    /// The hash function. Default: the sender may choose, and SHA-256 is offered first.
    #[serde(default)]
    algorithm: Option<Algorithm>,
    /// What is protected: `auth`, the method and the address.
    #[serde(default, rename = "qop")]
    _qop: Qop,
    /// How many seconds a nonce can be used; then the sender gets a new one. At most 86,400. Default: 300.
    #[serde(default)]
    #[schemars(range(min = 1, max = 86400))]
    nonce_seconds: Option<NonZeroU64>,
    /// Take nonces that senders made up, with any `uri` and any count: for senders that wait for no challenge. Whoever records
    /// such a request can send it again, at any time and to any address with this password.
    #[serde(default)]
    accept_client_nonce: bool,
    /// The nonces that were given out.
    #[serde(skip, default)]
    nonces: Nonces,
}

/// What the password is for. No control characters: it is sent in a header.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
struct Realm(String);

impl Default for Realm {
    fn default() -> Self {
        Self("Webhook API".to_owned())
    }
}

impl TryFrom<String> for Realm {
    type Error = &'static str;

    fn try_from(realm: String) -> Result<Self, Self::Error> {
        match realm.trim().is_empty() || realm.contains(char::is_control) {
            true => Err("the realm is empty or holds a control character"),
            false => Ok(Self(realm)),
        }
    }
}

/// The hash function, by its name in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, !try_from)]
enum Algorithm {
    /// SHA-256.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// MD5, for senders that know no better.
    #[serde(rename = "MD5")]
    Md5,
}

/// What is protected.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Qop {
    /// The method and the address.
    #[default]
    Auth,
}

impl Algorithm {
    /// All of them, the best first.
    const ALL: [Self; 2] = [Self::Sha256, Self::Md5];

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Hashes the parts with colons between them, as hexadecimal digits.
    fn hash(self, parts: &[&[u8]]) -> String {
        fn hash<D: Digest>(parts: &[&[u8]]) -> String {
            let mut hash = D::new();
            for (nth, part) in parts.iter().enumerate() {
                if nth > 0 {
                    hash.update(b":");
                }
                hash.update(part);
            }
            hex::encode(hash.finalize())
        }
        match self {
            Self::Sha256 => hash::<sha2::Sha256>(parts),
            Self::Md5 => hash::<md5::Md5>(parts),
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(name.as_bytes())
            .ok_or_else(|| format!("no algorithm is called `{name}`; there are SHA-256 and MD5"))
    }
}

/// Why a sender is refused.
enum Refusal {
    /// It did not prove itself.
    Unproved(&'static str),
    /// It knows the password, and has to prove it with another nonce.
    Stale(&'static str),
}

/// What the response of a request with `qop` covers beside the nonce.
struct Counted<'a> {
    count: &'a [u8],
    cnonce: &'a [u8],
}

impl Gate for DigestAuth {
    const NAME: &'static str = "digest_auth";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        check_credentials(&self.username, &self.password, at, faults);
        if self.lifetime() > LONGEST {
            let problem = "a nonce can live 86400 seconds at most";
            faults.add(&at.at().child("nonce_seconds"), problem, None);
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        self.judge(webhook).map_err(|refusal| match refusal {
            Refusal::Unproved(reason) => self.challenge(unauthorized(reason), ""),
            Refusal::Stale(reason) => self.challenge(unauthorized(reason), ", stale=true"),
        })
    }
}

impl DigestAuth {
    fn lifetime(&self) -> u64 {
        self.nonce_seconds.map_or(LIFETIME, NonZeroU64::get)
    }

    /// Adds one challenge for each algorithm that the sender may choose.
    fn challenge(&self, answer: Answer, stale: &str) -> Answer {
        let realm = self.realm.0.replace('\\', "\\\\").replace('"', "\\\"");
        let (nonce, opaque) = (self.nonces.make(), self.nonces.opaque());
        self.algorithms().fold(answer, |answer, algorithm| {
            let algorithm = algorithm.name();
            answer.challenging(format!(
                "Digest realm=\"{realm}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\", \
                 opaque=\"{opaque}\", charset=UTF-8{stale}"
            ))
        })
    }

    fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(|one| self.algorithm.is_none_or(|only| only == *one))
    }

    fn judge(&self, webhook: &Webhook) -> Result<(), Refusal> {
        let sent = Params::of(webhook, "Digest").map_err(Refusal::Unproved)?;
        let uri = self.prove(&sent, webhook).map_err(Refusal::Unproved)?;
        if self.accept_client_nonce {
            return Ok(());
        }
        if !names(uri, &webhook.head.target) {
            return Err(Refusal::Unproved("the uri is not the address that was asked for"));
        }
        // From here on the sender knows the password; what is wrong is the nonce, and a new one helps.
        let opaque = sent.get("opaque").is_none_or(|opaque| opaque == self.nonces.opaque().as_bytes());
        let nonce = sent.get("nonce").filter(|_| opaque).unwrap_or_default();
        let count = sent.get("nc").and_then(count).unwrap_or_default();
        let lifetime = Duration::from_secs(self.lifetime());
        self.nonces.take(nonce, count, lifetime).map_err(Refusal::Stale)
    }

    /// Checks that the sender knows the password, and returns the address it says it asks for.
    fn prove<'s>(&self, sent: &'s Params<'_>, webhook: &Webhook) -> Result<&'s [u8], &'static str> {
        let named = |name| sent.get(name).ok_or("a parameter of the Digest credentials is missing");
        let (nonce, uri) = (named("nonce")?, named("uri")?);
        let response =
            hex::decode(named("response")?).map_err(|_| "the Digest response is not hexadecimal")?;
        if named("realm")? != self.realm.0.as_bytes() {
            return Err("the Digest realm is another one");
        }
        let algorithm = Algorithm::named(sent.get("algorithm").unwrap_or(b"MD5"));
        let algorithm = algorithm.filter(|one| self.algorithms().any(|allowed| allowed == *one));
        let algorithm = algorithm.ok_or("the Digest algorithm is not one that was offered")?;
        let expected = self.response(algorithm, (nonce, uri), self.counted(sent)?.as_ref(), webhook);
        let expected = hex::decode(expected).unwrap_or_default();
        // Both are always compared, so that time does not tell which one is wrong.
        let name = self.username.expose().as_bytes().ct_eq(&username(sent)?);
        if bool::from(name & expected.ct_eq(&response)) && !self.password.is_empty() {
            Ok(uri)
        } else {
            Err("the user name or the Digest response does not match")
        }
    }

    /// Returns what the sender counts with. Senders that make up their nonces may leave all or part of it out.
    fn counted<'s>(&self, sent: &'s Params<'_>) -> Result<Option<Counted<'s>>, &'static str> {
        let (qop, nc, cnonce) = (sent.get("qop"), sent.get("nc"), sent.get("cnonce"));
        if self.accept_client_nonce {
            return Ok(cnonce.map(|cnonce| Counted { count: nc.unwrap_or_default(), cnonce }));
        }
        if !qop.is_some_and(|qop| qop.eq_ignore_ascii_case(b"auth")) {
            return Err("the Digest qop is not auth");
        }
        match (nc.filter(|nc| count(nc).is_some()), cnonce.filter(|cnonce| !cnonce.is_empty())) {
            (Some(count), Some(cnonce)) => Ok(Some(Counted { count, cnonce })),
            (None, _) | (_, None) => Err("the Digest count or cnonce is missing"),
        }
    }

    /// Computes the response (RFC 7616 section 3.4.1; without a count, RFC 2069 section 2.1.2).
    fn response(
        &self,
        algorithm: Algorithm,
        (nonce, uri): (&[u8], &[u8]),
        counted: Option<&Counted<'_>>,
        webhook: &Webhook,
    ) -> String {
        let (username, password) = (self.username.expose().as_bytes(), self.password.expose().as_bytes());
        let secret = Secret::new(algorithm.hash(&[username, self.realm.0.as_bytes(), password]));
        let secret = secret.expose().as_bytes();
        let asked = algorithm.hash(&[webhook.head.method.as_bytes(), uri]);
        match counted {
            Some(Counted { count, cnonce }) => {
                algorithm.hash(&[secret, nonce, count, cnonce, b"auth", asked.as_bytes()])
            }
            None => algorithm.hash(&[secret, nonce, asked.as_bytes()]),
        }
    }
}

/// Returns the user name, which stands in one of two parameters (RFC 7616 section 3.4.4).
fn username(sent: &Params<'_>) -> Result<Vec<u8>, &'static str> {
    const PREFIX: &[u8] = b"UTF-8''";
    match (sent.get("username"), sent.get("username*")) {
        (Some(name), None) => Ok(name.to_vec()),
        (None, Some(encoded)) => {
            let (prefix, name) = encoded.split_at_checked(PREFIX.len()).unwrap_or_default();
            let name = percent::decode(name).filter(|_| prefix.eq_ignore_ascii_case(PREFIX));
            name.ok_or("the Digest user name is garbled")
        }
        (None, None) | (Some(_), Some(_)) => Err("there is no Digest user name, or there are two"),
    }
}

/// Reads a count of uses: eight hexadecimal digits.
fn count(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Tells whether `uri` means `target`: the same text, or a whole address with it.
fn names(uri: &[u8], target: &str) -> bool {
    let whole = || http::Uri::try_from(uri).ok().filter(|uri| uri.scheme().is_some());
    uri == target.as_bytes()
        || whole().is_some_and(|uri| uri.path_and_query().is_some_and(|path| path.as_str() == target))
}
