//! How a sender signs: where the signature stands, what it covers, and which hash makes it.
//!
//! A [`Scheme`] is plain data. The gate `hmac` reads one from its settings, the gate `signature` has a table of them.

mod form;
mod keys;
mod part;
mod stamp;

pub(super) use self::keys::{Algorithm, HeaderName, Key, KeyForm, check_keys, hmac_sha256};
pub(super) use self::part::{Part, Template};
pub(super) use self::stamp::{Place, TOLERANCE, check as check_time};

use std::time::Duration;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use engine::ack::Answer;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::Choice;

use self::part::Signed;
use super::{last, unauthorized};

/// How many signatures of one header are looked at.
const MOST: usize = 16;

/// Some senders leave the padding out.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// How a signature is written as text.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Encoding {
    /// Hexadecimal digits in either case.
    #[default]
    Hex,
    /// Base64, with or without padding.
    Base64,
    /// Base64 with `-` and `_`, with or without padding.
    Base64Url,
    /// Text that stands for itself.
    #[serde(skip)]
    Plain,
}

impl Encoding {
    pub(in crate::auth) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64Url => BASE64URL.decode(text).ok(),
            Self::Plain => Some(text.to_vec()),
        }
    }
}

/// What stands before a signature.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prefix<'a> {
    /// This text, always.
    Text(&'a str),
    /// A key and `=`, always.
    Key(&'a str),
    /// The name of the algorithm and `=`, or nothing.
    Algorithm,
}

impl Prefix<'_> {
    /// Returns what follows it.
    fn strip(self, item: &[u8], algorithm: Algorithm) -> Option<&[u8]> {
        let after = |key: &str| item.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        match self {
            Self::Text(text) => item.strip_prefix(text.as_bytes()),
            Self::Key(key) => after(key),
            Self::Algorithm => Some(after(algorithm.name()).unwrap_or(item)),
        }
    }
}

/// How a sender signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme<'a> {
    /// The hash function, or the kind of key pair.
    pub(super) algorithm: Algorithm,
    /// How the secret, or the public key, is written.
    pub(super) key: KeyForm,
    /// The header that holds the signature.
    pub(super) header: &'a str,
    /// What stands between the items of the header; none when the header is one signature.
    pub(super) separator: Option<char>,
    /// What stands before a signature.
    pub(super) prefix: Prefix<'a>,
    /// How a signature is written.
    pub(super) encoding: Encoding,
    /// What the signature covers.
    pub(super) signed: &'a [Part],
    /// Where the time of signing stands.
    pub(super) timestamp: Option<Place<'a>>,
}

/// What is known from the settings beside the scheme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// The public address of the webhook, without a query.
    pub(super) url: &'a str,
    /// How far the time of signing may be from now.
    pub(super) tolerance: Duration,
}

impl<'a> Scheme<'a> {
    /// Returns true when a secret or public key is written as it must be, or is left open.
    pub(super) fn fits(&self, key: &Key) -> bool {
        key.is_open() || self.bytes(key).is_some()
    }

    fn bytes(&self, key: &Key) -> Option<Vec<u8>> {
        self.key.read(key).filter(|bytes| self.algorithm.takes(bytes))
    }

    /// Lets `webhook` pass when one of its signatures was made with one of `keys`.
    ///
    /// Every signature is compared with what every key makes, so that time does not tell which of them is right.
    ///
    /// # Errors
    /// The answer to the sender.
    pub(super) fn admit<'k>(
        &self,
        webhook: &Webhook,
        keys: impl Iterator<Item = &'k Key>,
        known: Known<'_>,
    ) -> Result<(), Answer> {
        let header = last(webhook, self.header);
        let header = header.ok_or_else(|| unauthorized("the header with the signature is missing"))?;
        let items = self.items(header);
        let timestamp = self.timestamp.map(|place| place.find(webhook, &items)).transpose()?;
        let candidates = self.candidates(&items);
        if candidates.is_empty() {
            return Err(unauthorized("the header holds no signature of the expected form"));
        }
        let signed = Signed { webhook, timestamp: timestamp.unwrap_or_default(), url: known.url };
        let message = signed.pieces(self.signed)?;
        let mut found = Choice::from(0);
        for key in keys.filter_map(|key| self.bytes(key)) {
            found |= self.algorithm.signed(&key, &message, &candidates);
        }
        if !bool::from(found) {
            return Err(unauthorized("the signature does not match"));
        }
        // Only after the signature: what somebody else wrote there is nobody's time.
        timestamp.map_or(Ok(()), |timestamp| stamp::check(timestamp, known.tolerance))
    }

    fn items<'h>(&self, header: &'h [u8]) -> Vec<&'h [u8]> {
        match self.separator {
            Some(separator) => {
                header.split(|byte| char::from(*byte) == separator).map(<[u8]>::trim_ascii).collect()
            }
            None => vec![header],
        }
    }

    fn candidates(&self, items: &[&[u8]]) -> Vec<Vec<u8>> {
        let texts = items.iter().filter_map(|item| self.prefix.strip(item, self.algorithm));
        let read = texts.take(MOST).filter_map(|text| self.encoding.decode(text));
        read.filter(|signature| !signature.is_empty()).collect()
    }
}
