//! `POST /connect/ack` with a body: many settlements in one request, one message per line.
//!
//! Each line is what a connector would say on a WebSocket: `ack`, `nack` or `progress`. Connectors learn from the header
//! `webhook-connect-settlements` that a receiver takes this, and how many lines.

use bytes::Bytes;
use engine::ack::Outcome;
use engine::meter::Metric;
use engine::webhook::Id;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use schemas::wire::SETTLEMENTS_TYPE;
use schemas::wire::compatible::FromConnector;
use serde_json::json;
use tracing::debug;

use crate::acknowledge::{apply, connection, hear, opened, unusable};
use crate::answer::{self, Answer};
use crate::listener::Shared;
use crate::session::TAP;
use crate::token;

/// The most lines of one request.
pub(crate) const MOST: u16 = 256;

/// The largest body, in bytes: as many settlements with the longest reasons fit.
const LARGEST: usize = 1 << 20;

/// What one line says.
struct Told {
    id: Id,
    /// None when it is progress.
    outcome: Option<Outcome>,
}

/// Returns true when a request says that its body holds settlements.
pub(crate) fn are_in(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == SETTLEMENTS_TYPE.as_bytes())
}

/// Settles what the lines name, in their order. A line that is not understood is counted and passed over; a webhook that is
/// not in flight any more counts as unknown. What may belong to a channel that does not run at the moment is named under
/// `again`, to be told again.
pub(crate) async fn take(request: Request<Incoming>, shared: &Shared) -> Answer {
    let (parts, body) = request.into_parts();
    let channels = match opened(&parts, shared) {
        Ok(channels) => channels,
        Err(answer) => return answer::closing(*answer),
    };
    let text = match read(body, shared).await {
        Ok(text) => text,
        Err(answer) => return answer::closing(*answer),
    };
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() > usize::from(MOST) {
        return unusable(&format!("more than {MOST} settlements in one request"));
    }
    hear(&parts.headers, &channels);
    let is_tap = connection(&parts.headers).starts_with(TAP);
    let away = token::opens_one_away(shared, &parts.headers, parts.uri.query());
    let (mut settled, mut unknown, mut not_understood, mut again) = (0, 0, 0, Vec::new());
    for line in lines {
        let Some(Told { id, outcome }) = understand(line) else {
            not_understood += 1;
            continue;
        };
        if is_tap {
            continue;
        }
        match apply(id, outcome.as_ref(), &channels).await {
            Ok(true) => settled += 1,
            Ok(false) if !away => unknown += 1,
            Ok(false) | Err(_) => again.push(id.to_string()),
        }
    }
    if not_understood > 0 {
        shared.meter.counter(Metric::NotUnderstood, "listener", "").add(not_understood);
        debug!(not_understood, "settlements were not understood");
    }
    let told = json!({
        "status": "ok", "settled": settled, "unknown": unknown, "not_understood": not_understood, "again": again,
    });
    answer::json_value(StatusCode::OK, &told)
}

fn understand(line: &[u8]) -> Option<Told> {
    let (message, outcome) = match FromConnector::decode(std::str::from_utf8(line).ok()?).ok()? {
        FromConnector::Settle { message, outcome } => (message, Some(outcome)),
        FromConnector::Progress { message } => (message, None),
        FromConnector::Window(_) | FromConnector::Heartbeat => return None,
    };
    Some(Told { id: message.parse().ok()?, outcome })
}

/// Reads the body whole.
async fn read(body: Incoming, shared: &Shared) -> Result<Bytes, Box<Answer>> {
    let reading = Limited::new(body, LARGEST).collect();
    let detail = |status, text| Box::new(answer::detail(status, text));
    match tokio::time::timeout(shared.settings.body_timeout, reading).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(detail(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))
        }
        Ok(Err(_)) => Err(detail(StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => Err(detail(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}
