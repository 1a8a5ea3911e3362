//! JSON Web Tokens (RFC 7519): whose are trusted, and what they must say.
//!
//! The gates `jwt` and `oauth2` read them. The kind of a key decides which algorithms it can be used with: a public key
//! is never taken for a secret, whatever a token or the settings say.

mod algorithm;
mod claims;
mod key;
mod published;
mod ring;
mod signed;
#[cfg(test)]
pub(super) mod testing;
mod trust;

pub(super) use algorithm::Algorithm;
pub(super) use claims::{Leeway, OneOrMore, Rules};
pub(super) use trust::{KeySet, Keys, Trust};

use engine::ack::Answer;
use engine::clock;
use engine::webhook::Webhook;
use serde_json::{Map, Value};

use self::published::Refused;
use self::ring::Untrusted;
use self::signed::Signed;
use super::remote::unknown;
use super::{last, unauthorized};

/// The longest header that is looked at, in bytes. Tokens with many claims are longer than passwords.
const LONGEST: usize = 16 << 10;

/// What a sender is told that did not prove itself (RFC 6750 section 3).
pub(super) const CHALLENGE: &str = "Bearer realm=\"webhooks\"";

/// Returns the token that the `Authorization` header holds after the scheme, which may be in any case.
///
/// # Errors
/// The answer to the sender.
pub(super) fn presented<'a>(webhook: &'a Webhook, scheme: &str) -> Result<&'a str, Answer> {
    let header = last(webhook, "authorization");
    let header = header.ok_or_else(|| unauthorized("the Authorization header is missing"))?.trim_ascii();
    if header.len() > LONGEST {
        return Err(unauthorized("the Authorization header is too long"));
    }
    let header = std::str::from_utf8(header).unwrap_or_default();
    let (found, token) = header.split_once(' ').unwrap_or_default();
    let token = token.trim();
    if !found.eq_ignore_ascii_case(scheme) || token.is_empty() {
        return Err(unauthorized("the Authorization header has no token of the right kind"));
    }
    Ok(token)
}

/// Checks a token: first who made it, then what it says. Returns what it says.
///
/// # Errors
/// The answer to the sender: 401 when it is wrong, 503 when the keys that decide are not there.
pub(super) async fn check(
    token: &str,
    keys: Option<&Keys>,
    allowed: Option<&[Algorithm]>,
    rules: &Rules<'_>,
) -> Result<Map<String, Value>, Answer> {
    let token = Signed::read(token).map_err(unauthorized)?;
    match keys {
        Some(Keys::Fixed(ring)) => ring.verify(&token, allowed).map_err(|untrusted| match untrusted {
            Untrusted::Wrong(why) => unauthorized(why),
            Untrusted::OfAnotherKey => unauthorized("no key that is trusted made the token"),
        })?,
        Some(Keys::Published(keys)) => {
            keys.verify(&token, allowed).await.map_err(|refused| match refused {
                Refused::Wrong(why) => unauthorized(why),
                Refused::NoKeys(why) => unknown(why),
            })?
        }
        None => return Err(unknown("the keys are not fetched yet")),
    }
    let claims = token.claims().map_err(unauthorized)?;
    rules.check(&claims, clock::now()).map_err(unauthorized)?;
    Ok(claims)
}
