//! The gate that answers senders who ask whether an address is the right one, and sign nothing.
//!
//! Nobody proves who asks, so what is sent back is bounded and plain, and nothing else is told.

use engine::ack::{Answer, Handshake as Told};
use engine::config::{Faults, Node};
use engine::kind::Gate;
use engine::query::pairs;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::auth::last;

/// The most bytes that are sent back.
const MOST: usize = 1024;

/// The largest body that is taken for a question.
const LARGEST: usize = 16 * 1024;

/// Answer a sender's question whether the address is the right one. What is asked is no webhook and is not stored.
///
/// It proves nothing about who sends webhooks: that is asked by the keys beside it. Providers that `signature` knows are
/// answered by that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handshake {
    /// Who asks.
    sender: Sender,
    /// The origins that may post, as `WebHook-Request-Origin` names them; `*` is any. Of `cloudevents`, which needs it.
    #[serde(default)]
    origins: Vec<String>,
}

/// How a sender asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Sender {
    /// Microsoft Graph posts with `validationToken` in the query, which is sent back.
    ///
    /// Source: <https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks>.
    MicrosoftGraph,
    /// Azure Event Grid posts a `SubscriptionValidationEvent`, whose code is sent back.
    ///
    /// Source: <https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-event-grid-events-schema>.
    EventGrid,
    /// CloudEvents: `OPTIONS` with `WebHook-Request-Origin`. Event Grid asks like this for webhooks in that format.
    ///
    /// Source: <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md>.
    Cloudevents,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_type: String,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    validation_code: String,
}

impl Gate for Handshake {
    const NAME: &'static str = "handshake";
    const PROVES_SENDER: bool = false;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let place = at.at().child("origins");
        match self.sender {
            Sender::Cloudevents if self.origins.is_empty() => {
                let problem = "nobody is allowed to post: give the `origins` that are";
                faults.add(&place, problem, None);
            }
            Sender::Cloudevents => {}
            Sender::MicrosoftGraph | Sender::EventGrid if self.origins.is_empty() => {}
            Sender::MicrosoftGraph | Sender::EventGrid => {
                faults.add(&place, "only `cloudevents` names an origin", None);
            }
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let is_posted = webhook.head.method == "POST";
        let asked = match self.sender {
            Sender::MicrosoftGraph if is_posted => graph(webhook),
            Sender::EventGrid if is_posted => event_grid(webhook),
            Sender::Cloudevents if !is_posted => return Err(self.cloudevents(webhook)),
            Sender::MicrosoftGraph | Sender::EventGrid | Sender::Cloudevents => None,
        };
        asked.map_or(Ok(()), Err)
    }

    fn greets(&self, method: &str) -> bool {
        self.sender == Sender::Cloudevents && method == "OPTIONS"
    }
}

impl Handshake {
    fn cloudevents(&self, webhook: &Webhook) -> Answer {
        let origin = header(webhook, "webhook-request-origin").filter(|origin| is_plain(origin));
        let may =
            |origin: &&str| self.origins.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(origin));
        match origin.filter(may) {
            Some(origin) => Answer::greeting(Told::Allowed { origin: origin.to_owned() }),
            None => Answer::new(403, "Forbidden").because("no origin that may post"),
        }
    }
}

fn header<'w>(webhook: &'w Webhook, name: &str) -> Option<&'w str> {
    last(webhook, name).and_then(|value| std::str::from_utf8(value).ok())
}

/// Sends the token back that Graph put into the query.
fn graph(webhook: &Webhook) -> Option<Answer> {
    let (_, query) = webhook.head.target.split_once('?')?;
    let (_, token) = pairs(query).find(|(name, _)| name == "validationToken")?;
    Some(if is_plain(&token) { Answer::greeting(Told::Text(token)) } else { unfit() })
}

/// Sends the code back that Event Grid put into the body.
#[expect(
    clippy::disallowed_methods,
    reason = "this gate is asked to look inside; it keeps nothing of what it sees"
)]
fn event_grid(webhook: &Webhook) -> Option<Answer> {
    header(webhook, "aeg-event-type").filter(|kind| kind.eq_ignore_ascii_case("SubscriptionValidation"))?;
    let body = Some(&webhook.body).filter(|body| body.len() <= LARGEST)?;
    let events: Vec<Event> = serde_json::from_slice(body).ok()?;
    let [Event { event_type, data: Data { validation_code: code } }] = events.as_slice() else { return None };
    if event_type != "Microsoft.EventGrid.SubscriptionValidationEvent" {
        return None;
    }
    let told = json!({ "validationResponse": code }).to_string();
    Some(if is_plain(code) { Answer::greeting(Told::Json(told)) } else { unfit() })
}

/// Returns true when a text may be sent back: visible ASCII and spaces, not too long.
fn is_plain(text: &str) -> bool {
    let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !text.trim().is_empty() && text.len() <= MOST && text.bytes().all(is_visible)
}

fn unfit() -> Answer {
    Answer::new(400, "Bad Request").because("the handshake holds a text that is not sent back")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, faults, parse};
    use engine::kind::Kind;
    use serde_json::Value;

    async fn asks(settings: Value, request: Request<'_>) -> Result<(), (u16, Option<Told>)> {
        let gate: Handshake = parse(settings);
        gate.admit(&request.webhook())
            .await
            .map_err(|answer| (answer.status, answer.handshake.map(|told| *told)))
    }

    #[tokio::test]
    async fn the_token_of_graph_is_sent_back_and_a_webhook_passes() {
        let graph = || json!({"sender": "microsoft_graph"});
        let asked = |target| Request { target, ..Request::default() };
        let told = Told::Text("Validation: a b".to_owned());
        let target = "/webhook/x?validationToken=Validation%3a+a+b";
        assert_eq!(asks(graph(), asked(target)).await, Err((200, Some(told))));
        assert_eq!(asks(graph(), asked("/webhook/x?validationToken=%C3%A9")).await, Err((400, None)));
        assert_eq!(asks(graph(), asked("/webhook/x?validationToken=")).await, Err((400, None)));
        assert_eq!(asks(graph(), asked("/webhook/x?validation=a")).await, Ok(()));
    }

    #[tokio::test]
    async fn the_code_of_event_grid_is_sent_back_and_a_webhook_passes() {
        let asks = async |kind: &[u8], body: &[u8]| {
            let headers: [(&str, &[u8]); 1] = [("aeg-event-type", kind)];
            asks(json!({"sender": "event_grid"}), Request { headers: &headers, body, ..Request::default() })
                .await
        };
        let body = br#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent",
            "data":{"validationCode":"512d38b6","validationUrl":"https://x.example"}}]"#;
        let told = Told::Json(r#"{"validationResponse":"512d38b6"}"#.to_owned());
        assert_eq!(asks(b"SubscriptionValidation", body).await, Err((200, Some(told))));
        assert_eq!(asks(b"Notification", body).await, Ok(()));
        assert_eq!(asks(b"SubscriptionValidation", b"[]").await, Ok(()));
        assert_eq!(asks(b"SubscriptionValidation", b"{").await, Ok(()));
    }

    #[tokio::test]
    async fn an_origin_that_may_post_is_told_so_and_no_other() {
        let asks = async |origins: Value, method: &str, origin: &[u8]| {
            let headers: [(&str, &[u8]); 1] = [("WebHook-Request-Origin", origin)];
            let settings = json!({"sender": "cloudevents", "origins": origins});
            asks(settings, Request { method, headers: &headers, ..Request::default() }).await
        };
        let told = |origin: &str| Err((200, Some(Told::Allowed { origin: origin.to_owned() })));
        assert_eq!(asks(json!(["a.example"]), "OPTIONS", b"A.example").await, told("A.example"));
        assert_eq!(asks(json!(["*"]), "OPTIONS", b"b.example").await, told("b.example"));
        assert_eq!(asks(json!(["a.example"]), "OPTIONS", b"b.example").await, Err((403, None)));
        assert_eq!(asks(json!(["*"]), "OPTIONS", b"").await, Err((403, None)));
        assert_eq!(asks(json!(["*"]), "OPTIONS", "é".as_bytes()).await, Err((403, None)));
        assert_eq!(asks(json!(["a.example"]), "POST", b"b.example").await, Ok(()));
    }

    #[test]
    fn settings_that_answer_nobody_are_refused() {
        for settings in [
            json!({}),
            json!({"sender": "graph"}),
            json!({"sender": "cloudevents"}),
            json!({"sender": "event_grid", "origins": ["a.example"]}),
        ] {
            assert_eq!(faults(&settings, Kind::gate::<Handshake>()).len(), 1, "{settings}");
        }
    }

    #[test]
    fn only_cloudevents_asks_in_another_way_than_by_posting() {
        let cloudevents: Handshake = parse(json!({"sender": "cloudevents", "origins": ["*"]}));
        let graph: Handshake = parse(json!({"sender": "microsoft_graph"}));
        assert!(cloudevents.greets("OPTIONS") && !cloudevents.greets("GET") && !graph.greets("OPTIONS"));
    }
}
