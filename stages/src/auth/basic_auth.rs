//! The gate that asks for a user name and a password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::ack::Answer;
use engine::config::{Faults, Node, Secret};
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::{check_credentials, last, text, unauthorized};

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 8192;

/// What a sender is told that did not prove itself (RFC 7617).
const CHALLENGE: &str = "Basic realm=\"webhooks\", charset=\"UTF-8\"";

/// The scheme, in any case.
const SCHEME: &[u8] = b"basic ";

/// Ask for a user name and a password, as HTTP Basic authentication sends them.
///
/// Both are compared as UTF-8; what a sender sent as Latin-1 is understood too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BasicAuth {
    /// The user name. It cannot hold a colon.
    username: Secret,
    /// The password.
    password: Secret,
}

impl Gate for BasicAuth {
    const NAME: &'static str = "basic_auth";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        check_credentials(&self.username, &self.password, at, faults);
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        self.compare(webhook).map_err(|refusal| refusal.challenging(CHALLENGE))
    }
}

impl BasicAuth {
    fn compare(&self, webhook: &Webhook) -> Result<(), Answer> {
        let sent = text(presented(webhook)?);
        let Some((username, password)) = sent.expose().split_once(':') else {
            return Err(unauthorized("the Basic credentials have no colon"));
        };
        let name = self.username.expose().as_bytes().ct_eq(username.as_bytes());
        // Both are always compared, so that time does not tell which one is wrong.
        let both = name & self.password.expose().as_bytes().ct_eq(password.as_bytes());
        // Settings that are empty do not get here; a door that is open by mistake is not left to that.
        let usable = !self.username.is_empty() && !self.password.is_empty();
        if usable && both.into() {
            Ok(())
        } else {
            Err(unauthorized("the user name or the password does not match"))
        }
    }
}

/// Returns what the sender presented, decoded.
fn presented(webhook: &Webhook) -> Result<Vec<u8>, Answer> {
    let header = last(webhook, "authorization");
    let header = header.ok_or_else(|| unauthorized("the Authorization header is missing"))?.trim_ascii();
    if header.len() > LONGEST {
        return Err(unauthorized("the Authorization header is too long"));
    }
    let (scheme, encoded) = header.split_at_checked(SCHEME.len()).unwrap_or((b"", b""));
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(unauthorized("the Authorization header has no Basic credentials"));
    }
    STANDARD.decode(encoded).map_err(|_| unauthorized("the Basic credentials are no base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agrees_with_the_recorded_decisions, faults, webhook};
    use engine::kind::Kind;
    use serde_json::json;

    async fn admits(header: &[u8]) -> bool {
        let gate: BasicAuth = serde_json::from_value(json!({ "username": "ü", "password": "p:w" })).unwrap();
        gate.admit(&webhook(&[("Authorization", header)], b"")).await.is_ok()
    }

    fn basic(credentials: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(credentials)).into_bytes()
    }

    #[tokio::test]
    async fn the_reference_decided_the_same() {
        agrees_with_the_recorded_decisions::<BasicAuth>().await;
    }

    #[tokio::test]
    async fn the_right_name_and_password_pass_in_either_encoding_and_any_case_of_the_scheme() {
        assert!(admits(&basic("ü:p:w".as_bytes())).await);
        assert!(admits(&basic(b"\xfc:p:w")).await);
        assert!(admits(b"bAsIc w7w6cDp3").await);
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        for credentials in ["ü:p", "u:p:w", "ü:", ":p:w", "ü", "", "Ü:p:w"] {
            assert!(!admits(&basic(credentials.as_bytes())).await, "{credentials}");
        }
        for header in [
            &b"Basic"[..],
            b"Basic ",
            b"Basic  w7w6cDp3",
            b"Bearer w7w6cDp3",
            b"Basic w7w6cDp3=",
            b"Basic w7w6cDp_",
        ] {
            assert!(!admits(header).await, "{header:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_tells_the_sender_nothing() {
        let gate: BasicAuth = serde_json::from_value(json!({ "username": "u", "password": "p" })).unwrap();
        let absent = gate.admit(&webhook(&[], b"")).await.unwrap_err();
        let wrong = gate.admit(&webhook(&[("Authorization", &basic(b"u:x"))], b"")).await.unwrap_err();
        assert_eq!((absent.status, absent.detail), (wrong.status, wrong.detail));
        assert_eq!(absent.challenges, [CHALLENGE]);
        assert_eq!(wrong.challenges, [CHALLENGE]);
    }

    #[test]
    fn settings_that_protect_nothing_are_refused() {
        let kind = Kind::gate::<BasicAuth>();
        for settings in [
            json!({}),
            json!({ "username": "u" }),
            json!({ "username": "u", "password": "" }),
            json!({ "username": " ", "password": "p" }),
            json!({ "username": "a:b", "password": "p" }),
            json!({ "username": "u", "password": "a\nb" }),
            json!({ "username": "u", "password": "p", "realm": "x" }),
        ] {
            assert_eq!(faults(&settings, kind).len(), 1, "{settings}");
        }
    }

    #[test]
    fn the_secrets_are_not_printed() {
        let gate: BasicAuth =
            serde_json::from_value(json!({ "username": "planted", "password": "planted" })).unwrap();
        assert!(!format!("{gate:?}").contains("planted"));
    }
}
