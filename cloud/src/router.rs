//! Which request goes where.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;

use crate::answer::{self, Answer};
use crate::body::{Reply, whole};
use crate::listener::{LARGEST_HEAD, Shared};
use crate::tables::Found;
use crate::{connect, metrics, reload, request, status, token};

/// What those are told whose channel does not run at the moment.
const OPENING: &str = "the channel is being opened";

/// How long a sender waits for a pipeline that is being replaced, before it is asked to come again.
const REPLACING: Duration = Duration::from_secs(5);

/// Answers one request, and counts the answer.
pub(crate) async fn route(request: Request<Incoming>, peer: IpAddr, shared: &Arc<Shared>) -> Reply {
    let reply = if head_bytes(&request) > LARGEST_HEAD {
        let text = "the headers are too large";
        whole(answer::closing(answer::detail(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text)))
    } else if request.uri().path().starts_with("/connect/") {
        connect::route(request, shared).await
    } else {
        whole(dispatch(request, peer, shared).await)
    };
    shared.answered(reply.status());
    reply
}

async fn dispatch(request: Request<Incoming>, peer: IpAddr, shared: &Arc<Shared>) -> Answer {
    let mut parts = [""; MOST_PARTS];
    let path = request.uri().path();
    let Some(count) = split(path, &mut parts) else { return not_found() };
    // The server beneath leaves the body out for HEAD.
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match &parts[..count] {
        // A namespace before the id is understood and means nothing.
        ["webhook", id] | ["webhook", _, id] => {
            let id = (*id).to_owned();
            webhook(&id, request, peer, shared).await
        }
        ["admin", "reload-config"] => reload::answer(request, shared).await,
        ["health" | "metrics"] | ["admin", ..] if !is_get => {
            answer::allow(answer::detail(StatusCode::METHOD_NOT_ALLOWED, "only GET is taken here"), "GET")
        }
        ["admin", "webhook-connect", "channels"] => match admitted(request.headers(), shared) {
            Ok(()) => status::channels(shared).await,
            Err(refused) => *refused,
        },
        ["admin", "webhook-connect", "channels", channel, what] => {
            admin(channel, what, &request, shared).await
        }
        ["health"] => status::health(shared).await,
        ["metrics"] => metrics::answer(shared).await,
        _ => not_found(),
    }
}

/// Returns how large a request's head is. The server beneath reads in pieces and notices only beyond twice the bound.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    request.uri().path_and_query().map_or(0, |target| target.as_str().len()) + headers.sum::<usize>()
}

/// The most parts a path may have that anything is found at.
const MOST_PARTS: usize = 6;

/// Splits a path into its parts and returns how many there are; none when there are too many.
fn split<'p>(path: &'p str, parts: &mut [&'p str; MOST_PARTS]) -> Option<usize> {
    let mut count = 0;
    for part in path.split('/').skip(1) {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    Some(count)
}

/// Returns true when a request with this method may be a handshake of the senders of the webhook `id`.
async fn greets(id: &str, method: &Method, shared: &Shared) -> bool {
    if !matches!(*method, Method::GET | Method::OPTIONS) {
        return false;
    }
    match shared.routes.find_soon(id, REPLACING).await {
        Found::Running(route) => route.out.greets(method.as_str()),
        // Nobody knows: it is answered as a webhook would be.
        Found::Away(_) => true,
        Found::Nothing => false,
    }
}

async fn webhook(id: &str, request: Request<Incoming>, peer: IpAddr, shared: &Arc<Shared>) -> Answer {
    if shared.is_stopping() {
        return answer::closing(answer::busy("the receiver is stopping"));
    }
    let accepts = match shared.routes.find(id) {
        Found::Running(route) => Arc::clone(&route.accepts),
        Found::Away(accepts) => accepts,
        Found::Nothing => return answer::closing(not_found()),
    };
    let is_greeting = !accepts.takes(request.method()) && greets(id, request.method(), shared).await;
    if !is_greeting && let Some(refused) = accepts.refuse(request.method(), request.headers()) {
        return answer::closing(refused);
    }
    let Ok(_permit) = shared.requests.try_acquire() else {
        shared.refused_requests.add(1);
        return answer::closing(answer::busy("too many requests at once"));
    };
    let sent = match request::read(request, &accepts, shared).await {
        Ok(sent) => sent,
        Err(answer) => return *answer,
    };
    // Looked up when the body is there: a slow sender keeps no pipeline from being replaced.
    match shared.routes.find_soon(id, REPLACING).await {
        Found::Running(route) => request::take(sent, peer, &route, shared).await,
        Found::Away(_) => answer::busy("the webhook's pipeline is being opened"),
        Found::Nothing => not_found(),
    }
}

async fn admin(channel: &str, what: &str, request: &Request<Incoming>, shared: &Arc<Shared>) -> Answer {
    if let Err(refused) = admitted(request.headers(), shared) {
        return *refused;
    }
    let channel = match shared.channels.find(channel) {
        Found::Running(channel) => channel,
        Found::Away(_) => return answer::busy(OPENING),
        Found::Nothing => return not_found(),
    };
    match what {
        "stats" => status::stats(&channel).await,
        "dead-letters" => status::dead_letters(&channel, request.uri().query()).await,
        _ => not_found(),
    }
}

/// Lets operators pass.
///
/// # Errors
/// The answer to everybody else. Without a token there is no admin API, which is also what a stranger sees.
pub(crate) fn admitted(headers: &HeaderMap, shared: &Shared) -> Result<(), Box<Answer>> {
    let Some(token) = &shared.settings.admin_token else { return Err(Box::new(not_found())) };
    if token::bearer(headers).is_some_and(|presented| token.matches(presented)) {
        return Ok(());
    }
    Err(Box::new(unauthorized()))
}

fn not_found() -> Answer {
    answer::detail(StatusCode::NOT_FOUND, "not found")
}

fn unauthorized() -> Answer {
    answer::detail(StatusCode::UNAUTHORIZED, "invalid token")
}
