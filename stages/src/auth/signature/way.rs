//! The ways in which providers sign.

use std::time::Duration;

use engine::ack::Answer;
use engine::webhook::Webhook;

use crate::auth::scheme::{Key, KeyForm, Known, Part, Scheme};

/// One way in which a provider signs.
#[derive(Debug)]
pub(super) enum Way {
    /// A header holds the signature.
    Declared(Scheme<'static>),
    /// The body holds the signature, beside what it covers.
    InBody(Letter),
}

/// A body that holds its own signature.
#[derive(Debug)]
pub(super) struct Letter {
    /// How the secret is written.
    pub(super) key: KeyForm,
    /// True when the time of signing is signed.
    pub(super) timed: bool,
    /// Lets the webhook pass when one of the secrets signed it no longer ago than the tolerance.
    pub(super) admit: Admit,
}

type Admit = fn(&Webhook, &[Vec<u8>], Duration) -> Result<(), Answer>;

impl Way {
    /// Returns true when the provider signs with a key of its own, and what is known here is the public key.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Self::Declared(scheme) if scheme.algorithm.is_public())
    }

    /// Returns true when the provider signs the address that it posts to.
    pub(super) fn signs_url(&self) -> bool {
        let is_url = |part: &Part| matches!(part, Part::Url | Part::PlainUrl);
        matches!(self, Self::Declared(scheme) if scheme.signed.iter().any(is_url))
    }

    /// Returns true when the provider signs the time.
    pub(super) fn signs_time(&self) -> bool {
        match self {
            Self::Declared(scheme) => scheme.timestamp.is_some(),
            Self::InBody(letter) => letter.timed,
        }
    }

    /// Returns true when `key` is written as it must be, or is left open.
    pub(super) fn fits(&self, key: &Key) -> bool {
        match self {
            Self::Declared(scheme) => scheme.fits(key),
            Self::InBody(letter) => key.is_open() || letter.key.read(key).is_some(),
        }
    }

    /// Says how a secret or a public key must be written.
    pub(super) fn key_form(&self) -> &'static str {
        let (form, is_public) = match self {
            Self::Declared(scheme) => (scheme.key, scheme.algorithm.is_public()),
            Self::InBody(letter) => (letter.key, false),
        };
        match (form, is_public) {
            (KeyForm::Text, _) => "as it is shown",
            (KeyForm::Base64After("whsec_"), _) => "in base64, as in `whsec_..`",
            (KeyForm::Base64After("whpk_"), _) => "as the base64 of 32 bytes, as in `whpk_..`",
            (KeyForm::Base64After(_), true) => "as the base64 of 32 bytes",
            (KeyForm::Base64After(_), false) => "in base64",
            (KeyForm::Hex, true) => "as 64 hexadecimal digits",
            (KeyForm::Hex, false) => "as hexadecimal digits",
            (KeyForm::P256, _) => "as the base64 of a key of the curve P-256, `MFkwEwYH..`",
        }
    }

    /// Lets `webhook` pass when one of `keys` signed it.
    ///
    /// # Errors
    /// The answer to the sender.
    pub(super) fn admit<'k>(
        &self,
        webhook: &Webhook,
        keys: impl Iterator<Item = &'k Key>,
        known: Known<'_>,
    ) -> Result<(), Answer> {
        match self {
            Self::Declared(scheme) => scheme.admit(webhook, keys, known),
            Self::InBody(letter) => {
                let keys: Vec<Vec<u8>> = keys.filter_map(|key| letter.key.read(key)).collect();
                (letter.admit)(webhook, &keys, known.tolerance)
            }
        }
    }
}
