//! The gate that checks a signature over the body.

use engine::ack::Answer;
use engine::config::Secret;
use engine::kind::Gate;
use engine::webhook::Webhook;
use hmac::{KeyInit, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{last, unauthorized};

/// Check that a header holds the hexadecimal HMAC of the exact body.
///
/// The signature may follow the name of the algorithm and `=`, as in `sha256=6f2c...`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hmac {
    /// The secret shared with the sender.
    secret: Key,
    /// The header that holds the signature.
    #[serde(default = "Hmac::default_header")]
    header: HeaderName,
    /// The hash function.
    #[serde(default)]
    algorithm: Algorithm,
}

/// A secret that is not empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Secret")]
#[schemars(inline)]
struct Key(Secret);

impl TryFrom<Secret> for Key {
    type Error = &'static str;

    fn try_from(secret: Secret) -> Result<Self, Self::Error> {
        if secret.expose().trim().is_empty() {
            return Err("the secret is empty, so anybody could sign");
        }
        Ok(Self(secret))
    }
}

/// A name that a header can have.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
struct HeaderName(String);

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
enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-1, for senders that know no better.
    Sha1,
    /// SHA-512.
    Sha512,
}

impl TryFrom<String> for Algorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "sha256" => Ok(Self::Sha256),
            "sha1" => Ok(Self::Sha1),
            "sha512" => Ok(Self::Sha512),
            _ => Err(format!("no algorithm is called `{name}`; there are sha256, sha1 and sha512")),
        }
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Sha512 => "sha512",
        }
    }

    /// Compares in constant time.
    fn verifies(self, key: &[u8], body: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Sha256 => verifies::<hmac::Hmac<sha2::Sha256>>(key, body, signature),
            Self::Sha1 => verifies::<hmac::Hmac<sha1::Sha1>>(key, body, signature),
            Self::Sha512 => verifies::<hmac::Hmac<sha2::Sha512>>(key, body, signature),
        }
    }
}

fn verifies<M: Mac + KeyInit>(key: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let mac = <M as KeyInit>::new_from_slice(key).map(|mac| mac.chain_update(body));
    mac.is_ok_and(|mac| mac.verify_slice(signature).is_ok())
}

impl Hmac {
    fn default_header() -> HeaderName {
        HeaderName("X-HMAC-Signature".to_owned())
    }

    /// Reads the signature: hexadecimal digits, after `<algorithm>=` or alone.
    fn signature(&self, header: &[u8]) -> Option<Vec<u8>> {
        let prefixed = header.strip_prefix(self.algorithm.name().as_bytes());
        let digits = prefixed.and_then(|rest| rest.strip_prefix(b"=")).unwrap_or(header);
        hex::decode(digits).ok()
    }
}

impl Gate for Hmac {
    const NAME: &'static str = "hmac";
    const PROVES_SENDER: bool = true;

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let header = last(webhook, &self.header.0);
        let header = header.ok_or_else(|| unauthorized("the header with the HMAC signature is missing"))?;
        let signature = self.signature(header);
        let signature = signature.ok_or_else(|| unauthorized("the HMAC signature is not hexadecimal"))?;
        if self.algorithm.verifies(self.secret.0.expose().as_bytes(), &webhook.body, &signature) {
            Ok(())
        } else {
            Err(unauthorized("the HMAC signature does not match"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agrees_with_the_recorded_decisions, webhook};
    use serde_json::json;

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_with_the_recorded_decisions::<Hmac>().await;
    }

    #[tokio::test]
    async fn a_body_that_changed_by_one_byte_is_refused() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "k", "header": "X-Sig"})).unwrap();
        let signature = b"c3a92ff9e274cdcce27a58c15a78ec6dcbbdbd0038a87e7a11baef2028fd8bff";
        assert!(gate.admit(&webhook(&[("x-sig", signature)], b"{\"a\":1}")).await.is_ok());
        assert!(gate.admit(&webhook(&[("x-sig", signature)], b"{\"a\":1} ")).await.is_err());
        assert!(gate.admit(&webhook(&[("x-sig", &signature[..62])], b"{\"a\":1}")).await.is_err());
        assert!(gate.admit(&webhook(&[("x-sig", b"")], b"{\"a\":1}")).await.is_err());
    }

    #[tokio::test]
    async fn a_missing_header_and_a_wrong_signature_look_alike_to_the_sender() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "k"})).unwrap();
        let absent = gate.admit(&webhook(&[], b"")).await.unwrap_err();
        let wrong = gate.admit(&webhook(&[("X-HMAC-Signature", b"00")], b"")).await.unwrap_err();
        assert_eq!((absent.status, absent.detail), (wrong.status, wrong.detail));
    }

    #[test]
    fn settings_that_protect_nothing_are_refused() {
        for settings in [
            json!({}),
            json!({"secret": ""}),
            json!({"secret": "k", "algorithm": "md5"}),
            json!({"secret": "k", "header": "not a name"}),
            json!({"secret": "k", "headr": "X-Sig"}),
        ] {
            assert!(serde_json::from_value::<Hmac>(settings.clone()).is_err(), "{settings}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let gate: Hmac = serde_json::from_value(json!({"secret": "planted"})).unwrap();
        assert!(!format!("{gate:?}").contains("planted"));
    }
}
