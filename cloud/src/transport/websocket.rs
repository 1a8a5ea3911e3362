//! `GET /connect/stream/{channel}` as a WebSocket (RFC 6455): the native dialect for connectors that offer its
//! subprotocol, the compatible one for all others.

use std::sync::Arc;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use schemas::wire::compatible::LARGEST_TEXT;
use schemas::wire::{LARGEST_FRAME, SUBPROTOCOL, VERSION, VERSION_HEADER};
use tracing::debug;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::announced::Announced;
use crate::answer::{self, Answer};
use crate::channel::Channel;
use crate::listener::Shared;
use crate::transport::{compatible, native};

/// The stream of one connector.
pub(crate) type Socket = WebSocketStream<Transport>;

/// What carries it.
pub(crate) type Transport = TokioAdapter<TokioIo<hyper::upgrade::Upgraded>>;

/// Switches to the WebSocket protocol and starts a session.
pub(crate) async fn connect(
    channel: Arc<Channel>,
    mut request: Request<Incoming>,
    shared: &Arc<Shared>,
) -> Answer {
    let key = match accept_key(request.headers()) {
        Ok(key) => key,
        Err(answer) => return *answer,
    };
    if shared.is_stopping() {
        return answer::closing(answer::busy("the receiver is stopping"));
    }
    let is_native = has_token(request.headers(), &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let permit = channel.permit(shared);
    if permit.is_none() && is_native {
        let text = format!("the channel has its {} connections", channel.limits.max_connections);
        return answer::busy(&text);
    }
    let announced = Announced::read(request.headers(), &channel.limits);
    let upgrade = hyper::upgrade::on(&mut request);
    let own = Arc::clone(shared);
    shared.sessions.spawn(async move {
        let socket = match upgrade.await {
            Ok(upgraded) => {
                let stream = TokioAdapter::new(TokioIo::new(upgraded));
                WebSocketStream::from_raw_socket(stream, Role::Server, Some(config(is_native))).await
            }
            Err(error) => return debug!(%error, "a connector went away during the upgrade"),
        };
        match permit {
            Some(_permit) if is_native => Box::pin(native::run(socket, channel, own)).await,
            Some(_permit) => Box::pin(compatible::run(socket, announced, channel, own)).await,
            None => compatible::turn_away(socket).await,
        }
    });
    switching(&key, is_native)
}

/// What a connection keeps for reading when nothing comes, in bytes. What comes is read in pieces of it.
const READING: usize = 4 * 1024;

fn config(is_native: bool) -> WebSocketConfig {
    let largest = if is_native { LARGEST_FRAME } else { LARGEST_TEXT };
    WebSocketConfig::default()
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest))
        .max_write_buffer_size(2 * largest)
        .read_buffer_size(READING)
}

/// Checks the request for an upgrade and returns the key that proves it was understood.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Box<Answer>> {
    let wrong = |status, text| Err(Box::new(answer::detail(status, text)));
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        let mut answer = answer::detail(
            StatusCode::UPGRADE_REQUIRED,
            "expected an upgrade to WebSocket; server-sent events are at /sse below, long poll at /poll",
        );
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(answer));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return wrong(StatusCode::BAD_REQUEST, "expected WebSocket version 13");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    match key.and_then(|key| HeaderValue::from_str(&key).ok()) {
        Some(key) => Ok(key),
        None => wrong(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"),
    }
}

/// Returns true when a list header has `token` among its items, whatever the case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn switching(key: &HeaderValue, is_native: bool) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key.clone());
    if is_native {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    headers.insert(HeaderName::from_static(VERSION_HEADER), HeaderValue::from_static(VERSION));
    answer
}
