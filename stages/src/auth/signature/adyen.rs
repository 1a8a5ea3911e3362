//! Adyen: each item of the body holds the HMAC of eight of its fields.
//!
//! The further fields of an item are not signed. A body passes when every one of its items is signed.
//! Source: <https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures>.

use std::time::Duration;

use engine::ack::Answer;
use serde::Deserialize;
use subtle::Choice;

use super::way::Letter;
use crate::auth::scheme::{Algorithm, Encoding, KeyForm};
use crate::auth::unauthorized;

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
        let Some(signature) = Encoding::Base64.decode(self.additional_data.hmac_signature.as_bytes()) else {
            return false;
        };
        let (signed, candidates) = (self.signed(), [signature]);
        let signed_by =
            |key: &Vec<u8>| Algorithm::Sha256.signed(key, &[signed.as_bytes().into()], &candidates);
        keys.iter().fold(Choice::from(0), |found, key| found | signed_by(key)).into()
    }
}

fn admit(body: &[u8], keys: &[Vec<u8>], _: Duration) -> Result<(), Answer> {
    let read: Result<Body, _> = serde_json::from_slice(body);
    let Body { notification_items: items } = read.map_err(|_| unauthorized("the body holds no signature"))?;
    if items.is_empty() {
        return Err(unauthorized("the body holds no items"));
    }
    if !items.iter().all(|item| item.notification_request_item.is_signed_by(keys)) {
        return Err(unauthorized("an item's signature does not match"));
    }
    Ok(())
}
