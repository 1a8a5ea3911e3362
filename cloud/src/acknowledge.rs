//! `POST /connect/ack` and `POST /connect/heartbeat`: what connectors on server-sent events and long poll say.

use std::sync::Arc;

use engine::ack::Outcome;
use engine::supply::Gone;
use engine::webhook::Id;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use schemas::wire::compatible::{FromConnector, NotUnderstood};
use serde_json::json;

use crate::answer::{self, Answer};
use crate::channel::Channel;
use crate::holder::Which;
use crate::listener::Shared;
use crate::session::TAP;
use crate::token::{self, Denied};

/// Settles a webhook, or notes that it is still being worked on: any webhook of any channel that the token opens, whatever
/// the connection.
pub(crate) async fn ack(parts: &Parts, shared: &Shared) -> Answer {
    let told = match FromConnector::from_query(parts.uri.query().unwrap_or_default()) {
        Ok(told) => told,
        Err(NotUnderstood::Missing(name)) => return unusable(&format!("`{name}` is missing")),
        Err(other) => return unusable(&other.to_string()),
    };
    let (message, outcome) = match told {
        FromConnector::Settle { message, outcome } => (message, Some(outcome)),
        FromConnector::Progress { message } => (message, None),
        FromConnector::Window(_) | FromConnector::Heartbeat => return unusable("`status` cannot be used"),
    };
    let channels = match opened(parts, shared) {
        Ok(channels) => channels,
        Err(answer) => return *answer,
    };
    hear(&parts.headers, &channels);
    let Ok(id) = message.parse::<Id>() else { return unknown() };
    if connection(&parts.headers).starts_with(TAP) {
        return done(id);
    }
    match apply(id, outcome.as_ref(), &channels).await {
        Ok(true) => return done(id),
        Ok(false) => {}
        Err(Gone) => return answer::busy("the channel is being opened again"),
    }
    // It may be one of a channel that does not run at the moment.
    if token::opens_one_away(shared, &parts.headers, parts.uri.query()) { opening() } else { unknown() }
}

/// Settles a webhook, or without an outcome notes progress, in whichever of `channels` has it, and returns whether one has.
///
/// # Errors
/// The buffer of a channel has ended.
pub(crate) async fn apply(
    id: Id,
    outcome: Option<&Outcome>,
    channels: &[Arc<Channel>],
) -> Result<bool, Gone> {
    for channel in channels {
        let known = match outcome {
            Some(outcome) => channel.settle(id, outcome.clone()).await?,
            None => channel.holders.all().iter().any(|holder| holder.progress(&Which::Message(id))),
        };
        if known {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes a sign of life of a connection.
pub(crate) fn heartbeat(parts: &Parts, shared: &Shared) -> Answer {
    if !parts.headers.contains_key(CONNECTION_ID) {
        return unusable("the header X-Connection-ID is missing");
    }
    match opened(parts, shared) {
        Ok(channels) if hear(&parts.headers, &channels) => {
            answer::json_value(StatusCode::OK, &json!({ "status": "ok" }))
        }
        Ok(_) => answer::detail(StatusCode::NOT_FOUND, "Connection not found"),
        Err(answer) => *answer,
    }
}

/// The header that names a connection.
const CONNECTION_ID: &str = "x-connection-id";

/// Returns the channels that the token opens.
pub(crate) fn opened(parts: &Parts, shared: &Shared) -> Result<Vec<Arc<Channel>>, Box<Answer>> {
    token::opened(shared, &parts.headers, parts.uri.query()).map_err(|denied| {
        Box::new(match denied {
            Denied::Unauthorized => answer::detail(StatusCode::UNAUTHORIZED, "Invalid token"),
            Denied::Away => opening(),
        })
    })
}

fn opening() -> Answer {
    answer::busy("the channel is being opened")
}

/// Notes that the connection named in the headers is alive; returns whether it is known.
pub(crate) fn hear(headers: &HeaderMap, channels: &[Arc<Channel>]) -> bool {
    let name = connection(headers);
    if let Some(holder) = channels.iter().find_map(|channel| channel.holders.find(name)) {
        holder.hear();
        return true;
    }
    channels.iter().any(|channel| channel.cursors.hear(name))
}

pub(crate) fn connection(headers: &HeaderMap) -> &str {
    headers.get(CONNECTION_ID).and_then(|name| name.to_str().ok()).unwrap_or_default()
}

fn done(id: Id) -> Answer {
    answer::json_value(StatusCode::OK, &json!({ "status": "ok", "message_id": id.to_string() }))
}

pub(crate) fn unusable(text: &str) -> Answer {
    answer::detail(StatusCode::UNPROCESSABLE_ENTITY, text)
}

fn unknown() -> Answer {
    answer::detail(StatusCode::NOT_FOUND, "Message not in flight")
}
