//! How a provider asks whether an address is its receiver's, before it posts webhooks there.
//!
//! Slack and Zoom post a signed question; Meta, Dropbox and X ask with GET, which nobody signs. What is sent back is what the
//! provider wrote, so it is bounded and plain.
//!
//! X wants the token signed with the secret that signs its webhooks, so whoever asks gets signatures. They must be of no use:
//! a token is signed only when it cannot be the body of a webhook, which begins with `{`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::ack::{Answer, Handshake};
use engine::query::pairs;
use engine::webhook::Webhook;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::auth::scheme::{Key, hmac_sha256};
use crate::auth::unauthorized;

/// The most bytes that are sent back. Providers send less than 100.
const MOST: usize = 1024;

/// The largest body that is taken for a question.
const LARGEST: usize = 16 * 1024;

/// How a provider asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Source: <https://docs.slack.dev/reference/events/url_verification>.
    Slack,
    /// Source: <https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint>.
    Zoom,
    /// Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started/#verification-requests>.
    Meta,
    /// Source: <https://www.dropbox.com/developers/reference/webhooks>.
    Dropbox,
    /// Source: <https://docs.x.com/x-api/webhooks/quickstart>.
    X,
}

#[derive(Deserialize)]
struct Slack {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

#[derive(Deserialize)]
struct Zoom {
    event: String,
    payload: Plain,
}

#[derive(Deserialize)]
struct Plain {
    #[serde(rename = "plainToken")]
    plain_token: String,
}

impl Question {
    /// Returns how a provider asks; none when it does not, or in no way that is answered.
    pub(super) fn of(provider: &str) -> Option<Self> {
        match provider {
            "slack" => Some(Self::Slack),
            "zoom" => Some(Self::Zoom),
            "meta" => Some(Self::Meta),
            "dropbox" => Some(Self::Dropbox),
            "x" => Some(Self::X),
            _ => None,
        }
    }

    /// Answers what was posted and signed with `key`, where it is the question.
    pub(super) fn posted<'k>(
        self,
        webhook: &Webhook,
        key: impl FnOnce() -> Option<&'k Key>,
    ) -> Option<Answer> {
        let body = Some(&webhook.body).filter(|body| body.len() <= LARGEST)?;
        match self {
            Self::Slack => {
                let Slack { kind, challenge } = read(body)?;
                (kind == "url_verification").then(|| echo(challenge))
            }
            Self::Zoom => {
                let Zoom { event, payload: Plain { plain_token: token } } = read(body)?;
                if event != "endpoint.url_validation" {
                    return None;
                }
                if !is_plain(&token) {
                    return Some(unfit());
                }
                let signed = hex::encode(hmac_sha256(key()?, token.as_bytes()));
                let answer = json!({ "plainToken": token, "encryptedToken": signed });
                Some(Answer::greeting(Handshake::Json(answer.to_string())))
            }
            Self::X => {
                let cannot_be_token = body.first() == Some(&b'{');
                (!cannot_be_token).then(|| unauthorized("the body is none of X"))
            }
            Self::Meta | Self::Dropbox => None,
        }
    }

    /// Returns true when it is asked with GET, and can be answered.
    pub(super) fn is_got(self, verify_token: Option<&Key>) -> bool {
        match self {
            Self::Slack | Self::Zoom => false,
            Self::Meta => verify_token.is_some(),
            Self::Dropbox | Self::X => true,
        }
    }

    /// Answers what was asked with GET.
    pub(super) fn got(self, webhook: &Webhook, verify_token: Option<&Key>, key: Option<&Key>) -> Answer {
        let query = webhook.head.target.split_once('?').map_or("", |(_, query)| query);
        let value = |name: &str| pairs(query).find(|(found, _)| found == name).map(|(_, value)| value);
        let challenge = match self {
            Self::Slack | Self::Zoom => None,
            Self::Dropbox => value("challenge"),
            Self::Meta => {
                let asks = value("hub.mode").is_some_and(|mode| mode == "subscribe");
                let presented = value("hub.verify_token").unwrap_or_default();
                let knows = verify_token.is_some_and(|token| token.matches(presented.as_bytes()));
                value("hub.challenge").filter(|_| asks && knows)
            }
            Self::X => return sign(value("crc_token").as_deref(), key),
        };
        challenge.map_or_else(|| unauthorized("this is neither posted nor a handshake"), echo)
    }
}

#[expect(clippy::disallowed_methods, reason = "what is asked stands inside; no webhook is changed by it")]
fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// Signs a token of X.
fn sign(token: Option<&str>, key: Option<&Key>) -> Answer {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(&byte);
    let (Some(token), Some(key)) = (token, key) else { return unfit() };
    if !is_plain(token) || !token.bytes().all(is_token) {
        return unfit();
    }
    let signed = STANDARD.encode(hmac_sha256(key, token.as_bytes()));
    let answer = json!({ "response_token": format!("sha256={signed}") });
    Answer::greeting(Handshake::Json(answer.to_string()))
}

fn echo(text: String) -> Answer {
    if is_plain(&text) { Answer::greeting(Handshake::Text(text)) } else { unfit() }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unfit() -> Answer {
    unauthorized("the handshake holds a text that is not sent back")
}
