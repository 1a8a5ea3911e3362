//! Secrets, and what is computed with them.

use engine::config::{Faults, Node, Secret, is_open};
use hmac::{KeyInit, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encoding;

/// A secret that is not empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Secret")]
#[schemars(inline)]
pub(in crate::auth) struct Key(Secret);

impl TryFrom<Secret> for Key {
    type Error = &'static str;

    fn try_from(secret: Secret) -> Result<Self, Self::Error> {
        if secret.expose().trim().is_empty() {
            return Err("the secret is empty, so anybody could sign");
        }
        Ok(Self(secret))
    }
}

/// How a secret is written as text.
#[derive(Clone, Copy, Debug)]
pub(in crate::auth) enum KeyForm {
    /// Its bytes are the secret.
    Text,
    /// Base64, after this text or alone.
    Base64After(&'static str),
}

impl KeyForm {
    /// Returns the secret's bytes; none when it is not of this form.
    pub(in crate::auth) fn read(self, Key(key): &Key) -> Option<Vec<u8>> {
        let text = key.expose();
        match self {
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Base64After(prefix) => {
                let read = Encoding::Base64.decode(text.strip_prefix(prefix).unwrap_or(text).as_bytes());
                read.filter(|key| !key.is_empty())
            }
        }
    }
}

impl KeyForm {
    /// Returns true when a secret is of this form, or is left open.
    pub(in crate::auth) fn fits(self, key: &Key) -> bool {
        is_open(key.0.expose()) || self.read(key).is_some()
    }
}

/// Complains unless there is `secret` or a list of `secrets`.
pub(in crate::auth) fn check_keys(one: Option<&Key>, more: Option<&[Key]>, at: &Node, faults: &mut Faults) {
    match (one, more) {
        (Some(_), None) => {}
        (None, Some(secrets)) if !secrets.is_empty() => {}
        (None, Some(_)) => {
            let problem = "the list of secrets is empty, so nobody could sign";
            faults.add(&at.at().child("secrets"), problem, None);
        }
        (Some(_), Some(_)) => {
            let problem = "give either `secret` or `secrets`";
            faults.add(&at.at().child("secrets"), problem, None);
        }
        (None, None) => {
            let problem = "`secret` or `secrets` is missing, so nobody could sign";
            faults.add(at.at(), problem, None);
        }
    }
}

/// A name that a header can have.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(in crate::auth) struct HeaderName(pub(in crate::auth) String);

impl TryFrom<String> for HeaderName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match http::HeaderName::try_from(&name) {
            Ok(_) => Ok(Self(name)),
            Err(_) => Err(format!("`{name}` is no name a header can have")),
        }
    }
}

/// The hash function under the HMAC, by its name in any case.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(inline, !try_from)]
pub(in crate::auth) enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-1, for senders that know no better.
    Sha1,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// The secret itself is sent.
    #[serde(skip)]
    Token,
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "sha256" => Ok(Self::Sha256),
            "sha1" => Ok(Self::Sha1),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(format!("no algorithm is called `{name}`; there are sha256, sha1, sha384 and sha512")),
        }
    }
}

impl Algorithm {
    /// Returns the name that stands before signatures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Token => "token",
        }
    }

    /// Makes the signature of the message whose pieces these are.
    pub(super) fn sign(self, key: &[u8], message: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => sign::<hmac::Hmac<sha2::Sha256>>(key, message),
            Self::Sha1 => sign::<hmac::Hmac<sha1::Sha1>>(key, message),
            Self::Sha384 => sign::<hmac::Hmac<sha2::Sha384>>(key, message),
            Self::Sha512 => sign::<hmac::Hmac<sha2::Sha512>>(key, message),
            Self::Token => key.to_vec(),
        }
    }
}

fn sign<M: Mac + KeyInit>(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    message.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}
