//! The gate that compares the `Authorization` header with a fixed value.

use engine::ack::Answer;
use engine::config::Secret;
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{last, unauthorized};

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 8192;

/// The scheme whose token is compared apart.
const BEARER: &str = "Bearer ";

/// Compare the `Authorization` header with this text.
///
/// A text that begins with `Bearer ` asks for that scheme and its token, blanks after the token aside. Any other text is
/// compared whole, blanks around it aside.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Secret")]
pub(crate) struct Authorization(Secret);

/// Settings that would let anybody pass, or nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the value is empty, so nobody could be told apart; leave the key out to let everybody pass")]
    Empty,
    #[error("the value has `Bearer` and no token")]
    NoToken,
    #[error("the token begins with a blank, so no header can match it")]
    BlankToken,
    #[error("the value holds a line break or another control character, so no header can match it")]
    Control,
}

impl TryFrom<Secret> for Authorization {
    type Error = Unusable;

    fn try_from(secret: Secret) -> Result<Self, Unusable> {
        let text = secret.expose();
        if text.trim().is_empty() {
            return Err(Unusable::Empty);
        }
        if text.trim().contains(|c: char| c.is_control() && c != '\t') {
            return Err(Unusable::Control);
        }
        match text.strip_prefix(BEARER).unwrap_or("token") {
            token if token.trim().is_empty() => Err(Unusable::NoToken),
            token if token.starts_with([' ', '\t']) => Err(Unusable::BlankToken),
            _ => Ok(Self(secret)),
        }
    }
}

impl Gate for Authorization {
    const NAME: &'static str = "authorization";
    const PROVES_SENDER: bool = true;

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let header = last(webhook, "authorization").unwrap_or_default().trim_ascii();
        if header.len() > LONGEST {
            return Err(unauthorized("the Authorization header is too long"));
        }
        let expected = self.0.expose();
        let equal = match expected.strip_prefix(BEARER) {
            Some(token) => {
                let sent = header
                    .strip_prefix(BEARER.as_bytes())
                    .ok_or_else(|| unauthorized("the Authorization header has no Bearer token"))?;
                sent.ct_eq(token.trim_end().as_bytes())
            }
            None => header.ct_eq(expected.trim().as_bytes()),
        };
        if equal.into() { Ok(()) } else { Err(unauthorized("the Authorization header does not match")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agrees_with_the_recorded_decisions, webhook};

    async fn admits(expected: &str, sent: &[u8]) -> bool {
        let gate: Authorization = serde_json::from_value(expected.into()).unwrap();
        gate.admit(&webhook(&[("Authorization", sent)], b"")).await.is_ok()
    }

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_with_the_recorded_decisions::<Authorization>().await;
    }

    #[tokio::test]
    async fn a_value_without_bearer_is_compared_whole() {
        assert!(admits("secret", b" secret ").await);
        assert!(!admits("secret", b"Bearer secret").await);
        assert!(!admits("secret", b"").await);
    }

    #[tokio::test]
    async fn the_scheme_is_case_sensitive_and_blanks_after_the_token_do_not_count() {
        assert!(admits("Bearer tok ", b"Bearer tok  ").await);
        assert!(!admits("Bearer tok", b"bearer tok").await);
        assert!(!admits("Bearer tok", b"Bearer tok2").await);
    }

    #[tokio::test]
    async fn a_refusal_tells_the_sender_nothing() {
        let gate: Authorization = serde_json::from_value("Bearer tok".into()).unwrap();
        let absent = gate.admit(&webhook(&[], b"")).await.unwrap_err();
        let wrong = gate.admit(&webhook(&[("Authorization", b"Bearer no")], b"")).await.unwrap_err();
        assert_eq!((absent.status, absent.detail), (401, "Unauthorized"));
        assert_eq!((wrong.status, wrong.detail), (absent.status, absent.detail));
    }

    #[test]
    fn a_value_that_protects_nothing_is_refused() {
        for value in ["", "  ", "Bearer ", "Bearer  tok", "a\nb"] {
            assert!(serde_json::from_value::<Authorization>(value.into()).is_err(), "{value:?}");
        }
    }
}
