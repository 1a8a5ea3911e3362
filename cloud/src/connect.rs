//! What connectors ask for: everything below `/connect/`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use schemas::wire::{ACK_TIMEOUT_HEADER, SETTLEMENTS_HEADER};

use crate::announced::Announced;
use crate::answer::{self, Answer};
use crate::body::{Reply, whole};
use crate::channel::Channel;
use crate::leaving::Line;
use crate::listener::Shared;
use crate::token::{self, Denied};
use crate::transport::{poll, sse, websocket};
use crate::{acknowledge, settlements, status};

/// Answers a connector.
pub(crate) async fn route(request: Request<Incoming>, shared: &Arc<Shared>) -> Reply {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(2).take(5).collect();
    let is = |method: Method| *request.method() == method;
    match parts[..] {
        ["ack" | "heartbeat"] if !is(Method::POST) => wrong_method("POST"),
        ["stream", _] | ["stream", _, "sse" | "poll"] | ["status", _] if !is(Method::GET) => {
            wrong_method("GET")
        }
        ["ack"] if settlements::are_in(request.headers()) => whole(settlements::take(request, shared).await),
        // The body says nothing; whatever stands there is left unread.
        ["ack"] => whole(acknowledge::ack(&request.into_parts().0, shared).await),
        ["heartbeat"] => whole(acknowledge::heartbeat(&request.into_parts().0, shared)),
        ["status", channel] => match authorize(channel, &request, shared, &["invalid token"; 2]) {
            Ok(channel) => whole(status::channel(&channel).await),
            Err(answer) => whole(*answer),
        },
        ["stream", channel] => match authorize(channel, &request, shared, &["invalid token"; 2]) {
            Ok(channel) => {
                let announced = Announced::read(request.headers(), &channel.limits);
                let deadline = channel.limits.ack_timeout();
                let reply = whole(websocket::connect(channel, request, shared).await);
                with_terms(reply, &announced, deadline)
            }
            Err(answer) => whole(*answer),
        },
        ["stream", channel, how @ ("sse" | "poll")] => {
            let texts = ["Missing authorization token", "Invalid channel token"];
            let channel = match authorize(channel, &request, shared, &texts) {
                Ok(channel) => channel,
                Err(answer) => return whole(*answer),
            };
            let announced = Announced::read(request.headers(), &channel.limits);
            let line = request.extensions().get::<Line>().cloned();
            let deadline = channel.limits.ack_timeout();
            let reply = if how == "sse" {
                sse::connect(channel, &announced, line, shared)
            } else {
                let query = request.uri().query().map(str::to_owned);
                poll::answer(channel, announced.clone(), query.as_deref(), line, shared).await
            };
            with_terms(reply, &announced, deadline)
        }
        _ => whole(answer::detail(StatusCode::NOT_FOUND, "not found")),
    }
}

/// Returns the channel when the token opens it, else the answer: one text for no token, one for a wrong one.
fn authorize(
    channel: &str,
    request: &Request<Incoming>,
    shared: &Shared,
    [missing, wrong]: &[&str; 2],
) -> Result<Arc<Channel>, Box<Answer>> {
    let (headers, query) = (request.headers(), request.uri().query());
    token::authorize(shared, channel, headers, query).map_err(|denied| {
        Box::new(match denied {
            Denied::Unauthorized => {
                let text = if token::presented(shared, headers, query).is_empty() { missing } else { wrong };
                answer::detail(StatusCode::UNAUTHORIZED, text)
            }
            Denied::Away => answer::busy("the channel is being opened"),
        })
    })
}

/// Tells connectors that know our additions how long they may take for a webhook, and how many settlements they may tell at
/// once.
fn with_terms(mut reply: Reply, announced: &Announced, deadline: Duration) -> Reply {
    if announced.version {
        let seconds = HeaderValue::from(deadline.as_secs());
        let headers = reply.headers_mut();
        headers.insert(HeaderName::from_static(ACK_TIMEOUT_HEADER), seconds);
        headers.insert(HeaderName::from_static(SETTLEMENTS_HEADER), HeaderValue::from(settlements::MOST));
    }
    reply
}

fn wrong_method(method: &'static str) -> Reply {
    let text = format!("only {method} is taken here");
    whole(answer::allow(answer::detail(StatusCode::METHOD_NOT_ALLOWED, &text), method))
}
