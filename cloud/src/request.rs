//! One posted webhook: read whole, handed to its pipeline, answered by what became of it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use engine::ack::{Ack, Outcome, Reason};
use engine::clock;
use engine::headers::Headers;
use engine::webhook::{Event, Head, Id, Webhook, from_micros, to_micros};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::info;

use crate::accepts::Accepts;
use crate::answer::{self, Answer};
use crate::listener::Shared;
use crate::receive::Route;
use crate::source;

/// The target of the lines that tell one webhook's way.
const FLOW: &str = "webhook_connect::flow";

/// Bodies in memory are counted in units of as many bytes.
pub(crate) const UNIT: usize = 1024;

/// Headers that belong to one connection and not to the webhook (RFC 9110 section 7.6.1), beside those `Connection` names.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a body could not be read whole.
enum Unread {
    TooLarge,
    TooSlow,
    NoMemory,
    Broken,
}

/// A request that was read whole.
pub(crate) struct Sent<'a> {
    began: Instant,
    parts: Parts,
    body: Bytes,
    /// The memory its body takes.
    _held: Option<SemaphorePermit<'a>>,
}

/// Reads a request whole.
///
/// # Errors
/// What its sender is answered.
pub(crate) async fn read<'s>(
    request: Request<Incoming>,
    accepts: &Accepts,
    shared: &'s Shared,
) -> Result<Sent<'s>, Box<Answer>> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let budget = &shared.body_memory;
    let largest = accepts.largest(shared.settings.max_body_bytes);
    let reading = read_body(&parts.headers, body, largest, budget);
    let read = match tokio::time::timeout(shared.settings.body_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(Unread::TooSlow),
    };
    match read {
        Ok((body, held)) => Ok(Sent { began, parts, body, _held: held }),
        Err(unread) => Err(Box::new(refuse_unread(&unread, shared))),
    }
}

/// Takes one webhook: answers once the buffer has committed it, or says why not. What comes by
/// another method than webhooks do can only be a handshake.
pub(crate) async fn take(sent: Sent<'_>, peer: IpAddr, route: &Route, shared: &Shared) -> Answer {
    let Sent { began, parts, body, _held } = sent;
    let webhook = webhook(&parts, body, peer, route, shared);
    let (id, bytes) = (webhook.id(), webhook.body.len());
    if !route.accepts.takes(&parts.method) {
        let outcome = Outcome::Refused { answer: route.out.greet(&webhook).await };
        return tell(id, route, bytes, began.elapsed(), outcome);
    }
    let (ack, reported) = Ack::waiter();
    // A closed pipeline drops the event, which reports it as lost.
    drop(route.out.send(Event { webhook, ack }).await);
    let outcome = reported.await.unwrap_or_else(|_| Outcome::lost());
    tell(id, route, bytes, began.elapsed(), outcome)
}

/// Turns what became of a webhook into the answer to its sender.
fn tell(id: Id, route: &Route, bytes: usize, took: Duration, outcome: Outcome) -> Answer {
    let (webhook, channel, ms) = (&route.webhook, &route.channel, took.as_millis());
    match outcome {
        Outcome::Delivered => {
            info!(target: FLOW, %id, %channel, %webhook, bytes, ms, "accepted");
            route.response.to(id)
        }
        Outcome::Refused { answer: refusal } => {
            if let Some(handshake) = refusal.handshake {
                info!(target: FLOW, %channel, %webhook, bytes, ms, "answered a handshake");
                return answer::handshake(*handshake);
            }
            let reason = refusal.reason.as_ref().map_or(refusal.detail, Reason::as_str);
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            // The gate tells of those now and then: a line for each would be a flood of its own.
            if status != StatusCode::TOO_MANY_REQUESTS {
                info!(target: FLOW, %id, %channel, %webhook, bytes, ms, status = refusal.status, reason, "refused");
            }
            let answer = match &refusal.about {
                Some(about) => answer::detail(status, &format!("{}: {about}", refusal.detail)),
                None => answer::detail(status, refusal.detail),
            };
            let answer = answer::challenge(answer, &refusal.challenges);
            match refusal.retry_after {
                Some(wait) => answer::retry_after(answer, wait),
                None => answer,
            }
        }
        Outcome::Abandoned { .. } | Outcome::Failed { .. } => {
            info!(target: FLOW, %id, %channel, %webhook, bytes, ms, status = 503, reason = "the pipeline ended", "refused");
            answer::busy("the webhook cannot be stored now")
        }
    }
}

fn refuse_unread(unread: &Unread, shared: &Shared) -> Answer {
    let (status, text) = match unread {
        Unread::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Unread::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::NoMemory => {
            shared.refused_memory.add(1);
            return answer::closing(answer::busy("too many bodies at once"));
        }
        Unread::Broken => (StatusCode::BAD_REQUEST, "the body could not be read"),
    };
    answer::closing(answer::detail(status, text))
}

/// Reads a body whole, within the largest size and the memory that all bodies share.
async fn read_body<'a>(
    headers: &HeaderMap,
    mut body: Incoming,
    largest: usize,
    memory: &'a Semaphore,
) -> Result<(Bytes, Option<SemaphorePermit<'a>>), Unread> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > largest)) {
        return Err(Unread::TooLarge);
    }
    let (mut first, mut rest, mut held) = (Bytes::new(), BytesMut::new(), None::<SemaphorePermit<'a>>);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > largest {
            return Err(Unread::TooLarge);
        }
        let units = u32::try_from(data.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let more = memory.try_acquire_many(units).map_err(|_| Unread::NoMemory)?;
        match &mut held {
            Some(held) => held.merge(more),
            None => held = Some(more),
        }
        // Most bodies come in one piece, which is kept as it is.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            make_room(&mut rest, data.len(), announced);
            rest.extend_from_slice(&data);
        }
    }
    Ok((if rest.is_empty() { first } else { rest.freeze() }, held))
}

/// Makes room for `more` bytes, and for as many again as have come, up to what was announced: a length that is only announced
/// takes no memory.
fn make_room(body: &mut BytesMut, more: usize, announced: Option<u64>) {
    if body.capacity() - body.len() < more {
        let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        let ahead = announced.saturating_sub(body.len()).min(body.len() + more);
        body.reserve(ahead.max(more));
    }
}

fn webhook(parts: &Parts, body: Bytes, peer: IpAddr, route: &Route, shared: &Shared) -> Webhook {
    let named = connection_names(&parts.headers);
    let keep = |name: &HeaderName| !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(name);
    let kept = parts.headers.iter().filter(|(name, _)| keep(name));
    let headers: Headers = kept.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let trusted = route.trusted_proxies.as_ref().unwrap_or(&shared.settings.trusted_proxies);
    let head = Head {
        id: shared.chance.id(),
        webhook: route.webhook.clone(),
        // Whole microseconds are what a record keeps.
        received: from_micros(to_micros(clock::now())),
        source: source::of(peer, &parts.headers, trusted),
        method: ByteString::from(parts.method.as_str()),
        target: ByteString::from(parts.uri.path_and_query().map_or("/", |target| target.as_str())),
        headers,
    };
    Webhook::new(head, body)
}

/// Returns the headers that `Connection` says belong to this connection.
fn connection_names(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}
