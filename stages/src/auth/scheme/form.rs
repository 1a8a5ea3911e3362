//! What a signature of Twilio covers beside the address.
//!
//! Of a form its fields, of any other body nothing: its hash is in the query of the address, which is signed.
//! Source: <https://www.twilio.com/docs/usage/security>.

use engine::ack::Answer;
use engine::query::pairs;
use engine::webhook::Webhook;
use sha2::{Digest, Sha256};

use super::{last, unauthorized};

/// The field of the query that holds the hash of the body.
const HASH: &str = "bodySHA256";

/// Returns the fields of the form, sorted, each as its name and its value with nothing between them; a field that is there
/// twice with the same value counts once.
///
/// # Errors
/// The answer to a sender whose body is covered by nothing.
pub(super) fn signed(webhook: &Webhook) -> Result<Vec<u8>, Answer> {
    let query = webhook.head.target.split_once('?').map_or("", |(_, query)| query);
    if let Some((_, hash)) = pairs(query).find(|(name, _)| name == HASH) {
        return match hex::decode(hash) {
            Ok(hash) if hash == Sha256::digest(&webhook.body).as_slice() => Ok(Vec::new()),
            _ => Err(unauthorized("the body is not the one whose hash is signed")),
        };
    }
    if webhook.body.is_empty() {
        return Ok(Vec::new());
    }
    if !is_form(webhook) {
        return Err(unauthorized("the body is no form, and its hash is not signed"));
    }
    let body = std::str::from_utf8(&webhook.body).map_err(|_| unauthorized("the form is not UTF-8"))?;
    let mut fields: Vec<(String, String)> = pairs(body).collect();
    fields.sort_unstable();
    fields.dedup();
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).collect::<String>().into_bytes())
}

/// Returns true when the body says that it is a form.
fn is_form(webhook: &Webhook) -> bool {
    let found = last(webhook, "content-type").unwrap_or_default();
    let kind = found.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}
