//! Secrets and public keys, and what is computed with them.

use std::borrow::Cow;

use engine::config::{Faults, Node, Secret, is_open};
use hmac::{KeyInit, Mac};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

use super::Encoding;

/// What a public key of the curve P-256 begins with, as a `SubjectPublicKeyInfo` (RFC 5480); the point follows.
const P256_INFO: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A secret or a public key that is not empty.
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

impl Key {
    /// Returns true when it names a variable whose value is not known yet.
    pub(in crate::auth) fn is_open(&self) -> bool {
        is_open(self.0.expose())
    }

    /// Compares with what somebody presented, in a time that does not tell how much of it is right.
    pub(in crate::auth) fn matches(&self, presented: &[u8]) -> bool {
        self.0.matches(presented)
    }
}

/// How a secret or a public key is written as text.
#[derive(Clone, Copy, Debug)]
pub(in crate::auth) enum KeyForm {
    /// Its bytes are the secret.
    Text,
    /// Base64, after this text or alone.
    Base64After(&'static str),
    /// Hexadecimal digits.
    Hex,
    /// The base64 of a public key of the curve P-256, as a `SubjectPublicKeyInfo`.
    P256,
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
            Self::Hex => Encoding::Hex.decode(text.as_bytes()).filter(|key| !key.is_empty()),
            Self::P256 => {
                let info = Encoding::Base64.decode(text.as_bytes())?;
                // An uncompressed point: the byte 4 and two coordinates of 32 bytes.
                let point = info.strip_prefix(&P256_INFO).filter(|point| point.len() == 65 && point[0] == 4);
                point.map(<[u8]>::to_vec)
            }
        }
    }
}

/// Complains unless the key called `name` is there, or a list of such keys, whose name has an `s` more.
pub(in crate::auth) fn check_keys(
    name: &str,
    one: Option<&Key>,
    more: Option<&[Key]>,
    at: &Node,
    faults: &mut Faults,
) {
    let list = format!("{name}s");
    match (one, more) {
        (Some(_), None) => {}
        (None, Some(keys)) if !keys.is_empty() => {}
        (None, Some(_)) => {
            let problem = format!("the list of {} is empty, so nobody could sign", list.replace('_', " "));
            faults.add(&at.at().child(&list), problem, None);
        }
        (Some(_), Some(_)) => {
            let problem = format!("give either `{name}` or `{list}`");
            faults.add(&at.at().child(&list), problem, None);
        }
        (None, None) => {
            let problem = format!("`{name}` or `{list}` is missing, so nobody could sign");
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
    /// No hash under an HMAC: Ed25519 (RFC 8032), whose key is the sender's public one.
    #[serde(skip)]
    Ed25519,
    /// No hash under an HMAC: ECDSA with the curve P-256 and SHA-256, the signature in ASN.1 (RFC 3279 section 2.2.3).
    #[serde(skip)]
    EcdsaP256,
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
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa",
        }
    }

    /// Returns true when the sender signs with a key of its own, and what is known here is the public key.
    pub(in crate::auth) fn is_public(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP256)
    }

    /// Returns true when a key can have these bytes.
    pub(super) fn takes(self, key: &[u8]) -> bool {
        !matches!(self, Self::Ed25519) || key.len() == 32
    }

    /// Tells whether one of `candidates` is a signature of the message whose pieces these are.
    ///
    /// Every one is looked at, so that time does not tell which of them is right.
    pub(in crate::auth) fn signed(
        self,
        key: &[u8],
        message: &[Cow<'_, [u8]>],
        candidates: &[Vec<u8>],
    ) -> Choice {
        let expected = match self {
            Self::Sha256 => sign::<hmac::Hmac<sha2::Sha256>>(key, message),
            Self::Sha1 => sign::<hmac::Hmac<sha1::Sha1>>(key, message),
            Self::Sha384 => sign::<hmac::Hmac<sha2::Sha384>>(key, message),
            Self::Sha512 => sign::<hmac::Hmac<sha2::Sha512>>(key, message),
            Self::Token => key.to_vec(),
            Self::Ed25519 => return verified(&ED25519, key, message, candidates),
            Self::EcdsaP256 => return verified(&ECDSA_P256_SHA256_ASN1, key, message, candidates),
        };
        candidates.iter().fold(Choice::from(0), |found, candidate| found | expected.ct_eq(candidate))
    }
}

/// Makes the HMAC-SHA256 of `message` with the text of `key`.
pub(in crate::auth) fn hmac_sha256(Key(key): &Key, message: &[u8]) -> Vec<u8> {
    sign::<hmac::Hmac<sha2::Sha256>>(key.expose().as_bytes(), &[message.into()])
}

fn sign<M: Mac + KeyInit>(key: &[u8], message: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    message.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

fn verified(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[Cow<'_, [u8]>],
    candidates: &[Vec<u8>],
) -> Choice {
    let (key, message) = (UnparsedPublicKey::new(algorithm, key), message.concat());
    let right = |candidate: &Vec<u8>| Choice::from(u8::from(key.verify(&message, candidate).is_ok()));
    candidates.iter().fold(Choice::from(0), |found, candidate| found | right(candidate))
}
