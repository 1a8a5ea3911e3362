//! Adyen: a header holds the HMAC of the body; or, of payments, each item of the body holds the HMAC of eight of its fields.
//!
//! The further fields of an item are not signed. A body passes when every one of its items is signed.
//! Source: <https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures>.

use std::time::Duration;

use engine::ack::Answer;
use engine::webhook::Webhook;
use serde::Deserialize;
use subtle::Choice;

use super::way::Letter;
use crate::auth::scheme::{Algorithm, Encoding, KeyForm};
use crate::auth::{last, unauthorized};

/// How Adyen signs.
pub(super) const ADYEN: Letter = Letter { key: KeyForm::Hex, timed: false, admit };

/// What is looked at of a body. A key that is there twice makes it unreadable.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    notification_items: Vec<Wrapped>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wrapped {
    notification_request_item: Item,
}

/// The fields that are signed, and the signature. A field that is missing is signed as an empty text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    psp_reference: String,
    #[serde(default)]
    original_reference: Option<String>,
    #[serde(default)]
    merchant_account_code: Option<String>,
    #[serde(default)]
    merchant_reference: Option<String>,
    amount: Amount,
    event_code: String,
    success: String,
    additional_data: Additional,
}

#[derive(Deserialize)]
struct Amount {
    value: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Additional {
    hmac_signature: String,
}

impl Item {
    fn signed(&self) -> String {
        let fields = [
            &self.psp_reference,
            self.original_reference.as_deref().unwrap_or_default(),
            self.merchant_account_code.as_deref().unwrap_or_default(),
            self.merchant_reference.as_deref().unwrap_or_default(),
            &self.amount.value.to_string(),
            &self.amount.currency,
            &self.event_code,
            &self.success,
        ];
        fields.join(":")
    }

    fn is_signed_by(&self, keys: &[Vec<u8>]) -> bool {
        is_signed(self.additional_data.hmac_signature.as_bytes(), self.signed().as_bytes(), keys)
    }
}

/// Tells whether `signature` is that of `signed`, made with one of `keys`.
fn is_signed(signature: &[u8], signed: &[u8], keys: &[Vec<u8>]) -> bool {
    let Some(signature) = Encoding::Base64.decode(signature) else { return false };
    let candidates = [signature];
    let signed_by = |key: &Vec<u8>| Algorithm::Sha256.signed(key, &[signed.into()], &candidates);
    keys.iter().fold(Choice::from(0), |found, key| found | signed_by(key)).into()
}

#[expect(clippy::disallowed_methods, reason = "the signature stands inside; nothing of what is seen is kept")]
fn admit(webhook: &Webhook, keys: &[Vec<u8>], _: Duration) -> Result<(), Answer> {
    if let Some(signature) = last(webhook, "HmacSignature") {
        let right = is_signed(signature, &webhook.body, keys);
        return if right { Ok(()) } else { Err(unauthorized("the signature does not match")) };
    }
    let read: Result<Body, _> = serde_json::from_slice(&webhook.body);
    let Body { notification_items: items } = read.map_err(|_| unauthorized("the body holds no signature"))?;
    if items.is_empty() {
        return Err(unauthorized("the body holds no items"));
    }
    if !items.iter().all(|item| item.notification_request_item.is_signed_by(keys)) {
        return Err(unauthorized("an item's signature does not match"));
    }
    Ok(())
}
