//! The destination that calls an HTTP server.

mod answer;
mod headers;

use std::sync::Arc;
use std::time::Duration;

use engine::ack::Symptom;
use engine::config::{Faults, HIDDEN, Node};
use engine::failure::Failure;
use engine::kind::{Context, Destination, OpenError, Sink};
use engine::webhook::Webhook;
use http::{Request, Uri};
use http_body_util::Full;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::{Client, NoAnswer};
use headers::{Configured, Forwarding, Name};

/// Send each webhook to an HTTP server: the body byte for byte, with the headers its sender sent.
///
/// A webhook counts as delivered once the server answered 2xx. Redirects are not followed. Every request carries
/// `x-webhook-connect-id`, `-channel`, `-webhook`, `-sequence`, `-attempt`, `-received-at` and `-source-ip`, and, where
/// the sender sent none, `webhook-id` and `idempotency-key`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpWebhook {
    /// Where to send to: `http` or `https`.
    url: Url,
    /// The request's method.
    #[serde(default)]
    method: Method,
    /// Headers to add to every request. They win over those of the sender.
    #[serde(default)]
    headers: Configured,
    /// Seconds to wait for the answer, 3,600 at most. A server that needs longer counts as unreachable.
    #[serde(default)]
    timeout: Seconds,
    /// Forward the sender's headers, so that the server can verify the sender's signature. Without, only those that
    /// describe the body are forwarded. Hop-by-hop headers and `host` never are.
    #[serde(default = "yes")]
    forward_headers: bool,
    /// Forward only these of the sender's headers, besides those that describe the body.
    #[serde(default)]
    allowed_headers: Option<Vec<Name>>,
    /// Forward the sender's `authorization` and `cookie` too, which are secrets between the sender and the receiver.
    #[serde(default)]
    forward_authorization: bool,
    /// Send every header of the sender once more, as `x-original-` and its name, and `x-webhook-message-id`,
    /// `x-webhook-id` and `x-webhook-attempt`, as the Python connector does.
    #[serde(default)]
    original_headers: bool,
    /// Refuse a `url` with another host than these. Empty: any host.
    #[serde(default)]
    allowed_hosts: Vec<String>,
}

fn yes() -> bool {
    true
}

/// Where to send to. Parts of it may be secret, so it is never printed.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, extend("format" = "uri"))]
struct Url(#[schemars(with = "String")] Uri);

impl TryFrom<String> for Url {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains(HIDDEN) {
            return Err("`***` stands where a secret was left out; put the secret, or {$VARIABLE}");
        }
        let uri: Uri = text.parse().map_err(|_| "this is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("the URL must begin with `http://` or `https://`");
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        if authority.ok_or("the URL names no host")?.as_str().contains('@') {
            return Err("the URL holds a user name; put `Authorization` into `headers` instead");
        }
        Ok(Self(uri))
    }
}

/// The request's method.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
enum Method {
    /// POST.
    #[default]
    #[serde(rename = "POST", alias = "post")]
    Post,
    /// PUT.
    #[serde(rename = "PUT", alias = "put")]
    Put,
    /// PATCH.
    #[serde(rename = "PATCH", alias = "patch")]
    Patch,
}

/// A wait, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline, extend("exclusiveMinimum" = 0, "maximum" = 3600))]
struct Seconds(#[schemars(with = "f64")] Duration);

impl From<Seconds> for f64 {
    fn from(Seconds(wait): Seconds) -> Self {
        wait.as_secs_f64()
    }
}

impl Default for Seconds {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if seconds > 0.0 && seconds <= 3600.0 {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("expected seconds above 0, 3600 at most")
        }
    }
}

impl Destination for HttpWebhook {
    const NAME: &'static str = "http_webhook";
    type Sink = Caller;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let host = self.url.0.host().unwrap_or_default();
        let allowed = self.allowed_hosts.iter().any(|one| one.eq_ignore_ascii_case(host));
        if !self.allowed_hosts.is_empty() && !allowed {
            faults.add(&at.at().child("url"), "the host is not among `allowed_hosts`", None);
        }
    }

    async fn open(self, cx: &Context) -> Result<Caller, OpenError> {
        Ok(Caller {
            client: Client::shared(&cx.resources),
            method: match self.method {
                Method::Post => http::Method::POST,
                Method::Put => http::Method::PUT,
                Method::Patch => http::Method::PATCH,
            },
            url: self.url.0,
            timeout: self.timeout.0,
            forwarding: Forwarding {
                all: self.forward_headers,
                only: self.allowed_headers,
                authorization: self.forward_authorization,
                originals: self.original_headers,
                configured: self.headers,
            },
        })
    }
}

/// Calls one URL.
pub(crate) struct Caller {
    client: Arc<Client>,
    method: http::Method,
    url: Uri,
    timeout: Duration,
    forwarding: Forwarding,
}

impl Sink for Caller {
    async fn deliver(&self, webhooks: &[Webhook]) -> Result<(), Failure> {
        for webhook in webhooks {
            self.call(webhook).await?;
        }
        Ok(())
    }
}

impl Caller {
    async fn call(&self, webhook: &Webhook) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(webhook.body.clone()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.url);
        *request.headers_mut() = self.forwarding.headers(webhook);
        // The client leaves it out for an empty body, which some servers answer with 411.
        request.headers_mut().insert(http::header::CONTENT_LENGTH, webhook.body.len().into());
        match self.client.send(request, self.timeout).await {
            Ok(answer) => answer::judge(&answer),
            Err(error) => {
                let symptom = match error {
                    NoAnswer::Connect(_) => Symptom::Connect,
                    NoAnswer::TimedOut(_) | NoAnswer::Broken(_) | NoAnswer::TooLarge(_) => Symptom::Silence,
                };
                Err(Failure::unreachable(&error.to_string()).showing(symptom))
            }
        }
    }
}

#[cfg(test)]
mod tests;
