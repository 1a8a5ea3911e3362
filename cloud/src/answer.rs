//! Answers to HTTP requests.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use engine::ack::Handshake;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use schemas::wire::{VERSION, VERSION_HEADER};
use serde_json::{Value, json};

/// An answer whose body is there whole.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What senders are asked to wait when the receiver is busy or stopping.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Makes an answer with a JSON text as its body.
pub(crate) fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark(answer)
}

/// Makes an answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    mark(answer)
}

/// Makes an answer with a JSON value as its body.
pub(crate) fn json_value(status: StatusCode, value: &Value) -> Answer {
    json_text(status, value.to_string())
}

/// Makes the answer to something that went wrong.
pub(crate) fn detail(status: StatusCode, detail: &str) -> Answer {
    json_value(status, &json!({ "detail": detail }))
}

/// Makes the answer to a handshake. What it holds came from outside: no browser may take it for anything else than it says.
pub(crate) fn handshake(handshake: Handshake) -> Answer {
    let (kind, text) = match handshake {
        Handshake::Text(text) => ("text/plain; charset=utf-8", text),
        Handshake::Json(text) => ("application/json", text),
        Handshake::Allowed { origin } => return allowed(&origin),
    };
    let mut answer = json_text(StatusCode::OK, text);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Makes the answer to an origin that may post, as often as it likes.
fn allowed(origin: &str) -> Answer {
    let Ok(origin) = HeaderValue::from_str(origin) else { return empty(StatusCode::BAD_REQUEST) };
    let mut answer = allow(empty(StatusCode::OK), "POST");
    answer.headers_mut().insert(HeaderName::from_static("webhook-allowed-origin"), origin);
    let any = HeaderValue::from_static("*");
    answer.headers_mut().insert(HeaderName::from_static("webhook-allowed-rate"), any);
    answer
}

/// Makes the answer of a receiver that cannot take this now.
pub(crate) fn busy(text: &str) -> Answer {
    retry_after(detail(StatusCode::SERVICE_UNAVAILABLE, text), BUSY)
}

/// Adds `Retry-After`, in whole seconds, rounded up.
pub(crate) fn retry_after(mut answer: Answer, wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// Adds how the sender can prove itself, one field for each way.
pub(crate) fn challenge(mut answer: Answer, challenges: &[Cow<'static, str>]) -> Answer {
    // A text that no header can hold is left out; the gates make none.
    for challenge in challenges.iter().filter_map(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
        answer.headers_mut().append(WWW_AUTHENTICATE, challenge);
    }
    answer
}

/// Adds the methods that the path takes.
pub(crate) fn allow(mut answer: Answer, methods: &str) -> Answer {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// Ends the connection after this answer: its request was not read whole.
pub(crate) fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Says on every answer that this receiver knows our additions to the protocol.
pub(crate) fn mark<B>(mut answer: Response<B>) -> Response<B> {
    let name = HeaderName::from_static(VERSION_HEADER);
    answer.headers_mut().insert(name, HeaderValue::from_static(VERSION));
    answer
}
