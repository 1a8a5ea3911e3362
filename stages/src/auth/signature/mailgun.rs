//! Mailgun: the body holds a time, a token and the HMAC of both.
//!
//! Nothing else of the body is signed: who saw one webhook can write another around its signature while the time allows it.
//! Source: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>.

use std::borrow::Cow;
use std::time::Duration;

use engine::ack::Answer;
use engine::webhook::Webhook;
use serde::Deserialize;
use subtle::Choice;

use super::way::Letter;
use crate::auth::scheme::{Algorithm, Encoding, KeyForm, check_time};
use crate::auth::unauthorized;

/// How Mailgun signs.
pub(super) const MAILGUN: Letter = Letter { key: KeyForm::Text, timed: true, admit };

/// What is looked at of a body. A key that is there twice makes it unreadable.
#[derive(Deserialize)]
struct Body {
    signature: Signature,
}

#[derive(Deserialize)]
struct Signature {
    timestamp: String,
    token: String,
    signature: String,
}

#[expect(clippy::disallowed_methods, reason = "the signature stands inside; nothing of what is seen is kept")]
fn admit(webhook: &Webhook, keys: &[Vec<u8>], tolerance: Duration) -> Result<(), Answer> {
    let read: Result<Body, _> = serde_json::from_slice(&webhook.body);
    let Body { signature } = read.map_err(|_| unauthorized("the body holds no signature"))?;
    let candidate = Encoding::Hex.decode(signature.signature.as_bytes());
    let candidates = [candidate.ok_or_else(|| unauthorized("the signature is not hexadecimal"))?];
    let signed = [&signature.timestamp, &signature.token].map(|text| Cow::Borrowed(text.as_bytes()));
    let signed_by = |key: &Vec<u8>| Algorithm::Sha256.signed(key, &signed, &candidates);
    let found = keys.iter().fold(Choice::from(0), |found, key| found | signed_by(key));
    if !bool::from(found) {
        return Err(unauthorized("the signature does not match"));
    }
    check_time(signature.timestamp.as_bytes(), tolerance)
}
