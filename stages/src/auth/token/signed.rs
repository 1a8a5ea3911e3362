//! The outer form of a signed token (RFC 7515 section 7.1): header, claims and signature, each base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;

/// A token whose signature nobody has checked.
pub(super) struct Signed<'a> {
    /// The algorithm that its header names.
    pub(super) algorithm: Algorithm,
    /// The key that its header names.
    pub(super) key_id: Option<String>,
    /// What is signed.
    pub(super) message: &'a str,
    /// The signature, as it is written.
    pub(super) signature: &'a str,
    claims: &'a str,
}

/// The header. Keys that it brings along (`jwk`, `jku`, `x5c`, `x5u`) are not looked at: a token cannot vouch for itself.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'a> Signed<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with its form, for the log.
    pub(super) fn read(token: &'a str) -> Result<Self, &'static str> {
        const FORM: &str = "the token has not the form of a signed JWT";
        let (message, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, claims) = message.split_once('.').ok_or(FORM)?;
        if claims.contains('.') {
            return Err(FORM);
        }
        let header: Header = serde_json::from_str(&decoded(header).ok_or(FORM)?).map_err(|_| FORM)?;
        if header.crit.is_some() {
            return Err("the token asks for an extension that is not known");
        }
        let algorithm = Algorithm::named(&header.alg).ok_or("the token's algorithm is not known")?;
        Ok(Self { algorithm, key_id: header.kid, message, signature, claims })
    }

    /// Reads what the token says. It means nothing before the signature has been checked.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, &'static str> {
        let text = decoded(self.claims).ok_or("the token's claims cannot be read")?;
        serde_json::from_str(&text).map_err(|_| "the token's claims are no JSON object")
    }
}

fn decoded(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
