//! What operators can ask: health, figures of a channel, dead letters.

use std::time::{SystemTime, UNIX_EPOCH};

use engine::clock;
use engine::store::{Parked, StoreError};
use engine::supply::Figures;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::channel::Channel;
use crate::listener::Shared;

/// Dead letters of one answer at most, and by default.
const MOST_LETTERS: usize = 1_000;
const LETTERS: usize = 100;

/// Answers whether the receiver takes webhooks: 503 while it stops, and while a channel cannot store what is posted.
pub(crate) async fn health(shared: &Shared) -> Answer {
    let all = shared.channels.all();
    let channels = all.len();
    let mut text = if shared.channels.runs_whole() { "healthy" } else { "a channel is being opened" };
    for channel in all {
        if !channel.supply.figures().await.is_ok_and(|figures| !figures.failing) {
            text = "a channel cannot store webhooks";
        }
    }
    if shared.is_stopping() {
        text = "stopping";
    }
    let status = if text == "healthy" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let value = json!({
        "status": text,
        "service": "webhook-connect",
        "channels_count": channels,
        "connections_count": shared.sessions.len(),
        "timestamp": unix(clock::now()),
    });
    answer::json_value(status, &value)
}

/// Answers a connector that asks for its channel.
pub(crate) async fn channel(channel: &Channel) -> Answer {
    let Ok(figures) = channel.supply.figures().await else { return gone() };
    let value = json!({
        "channel": channel.name,
        "connected": figures.sessions > 0,
        "stats": stats_of(channel, &figures),
        "server_time": unix(clock::now()),
    });
    answer::json_value(StatusCode::OK, &value)
}

/// Answers with the figures of a channel, of one moment.
pub(crate) async fn stats(channel: &Channel) -> Answer {
    match channel.supply.figures().await {
        Ok(figures) => answer::json_value(StatusCode::OK, &stats_of(channel, &figures)),
        Err(_) => gone(),
    }
}

/// Answers with the figures of every channel, each of one moment, and how many are being opened. There are as many as are
/// configured.
pub(crate) async fn channels(shared: &Shared) -> Answer {
    let (mut told, mut away) = (Vec::new(), shared.channels.away().len());
    for channel in shared.channels.all() {
        match channel.supply.figures().await {
            Ok(figures) => told.push(stats_of(&channel, &figures)),
            Err(_) => away += 1,
        }
    }
    told.sort_by(|one, other| one["channel"].as_str().cmp(&other["channel"].as_str()));
    answer::json_value(StatusCode::OK, &json!({ "channels": told, "channels_away": away }))
}

/// Answers with dead letters: what they were and why they are there, never their bodies.
pub(crate) async fn dead_letters(channel: &Channel, query: Option<&str>) -> Answer {
    let number = |name| parameter(query, name).map(str::parse::<u64>).transpose();
    let (Ok(after), Ok(limit)) = (number("after"), number("limit")) else {
        return answer::detail(StatusCode::UNPROCESSABLE_ENTITY, "`after` and `limit` are whole numbers");
    };
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LETTERS).clamp(1, MOST_LETTERS);
    match channel.supply.parked(after.unwrap_or(0), limit).await {
        Ok(letters) => {
            let messages: Vec<Value> = letters.iter().map(letter).collect();
            let value = json!({ "channel": channel.name, "count": messages.len(), "messages": messages });
            answer::json_value(StatusCode::OK, &value)
        }
        Err(StoreError::Closed) => gone(),
        Err(StoreError::Medium { .. }) => answer::busy("the dead letters cannot be read now"),
    }
}

fn stats_of(channel: &Channel, figures: &Figures) -> Value {
    let stats = &figures.stats;
    json!({
        "channel": channel.name,
        "messages_accepted": stats.accepted,
        "messages_delivered": stats.delivered,
        "messages_queued": stats.live.saturating_sub(figures.in_flight),
        "messages_in_flight": figures.in_flight,
        "messages_dead_lettered": stats.dead_lettered,
        "messages_expired": stats.expired,
        "messages_dropped": stats.dropped,
        "messages_purged": stats.purged,
        "messages_quarantined": stats.quarantined,
        "audit_imbalance": i64::try_from(stats.imbalance()).unwrap_or(i64::MAX),
        "queued_bytes": stats.live_bytes,
        "dead_letter_bytes": stats.parked_bytes,
        "last_sequence": stats.last_sequence,
        "oldest_received": figures.oldest.map(unix),
        "connected_clients": figures.sessions,
    })
}

fn letter(parked: &Parked) -> Value {
    let webhook = &parked.stored.webhook;
    json!({
        "message_id": webhook.id().to_string(),
        "webhook_id": &*webhook.head.webhook,
        "state": parked.cause.as_str(),
        "reason": parked.reason,
        "sequence": parked.stored.sequence,
        "delivery_count": parked.stored.tries.begun,
        "received_at": unix(webhook.head.received),
        "parked_at": unix(parked.at),
        "size": webhook.body.len(),
        "method": &*webhook.head.method,
        "source_ip": webhook.head.source.to_string(),
    })
}

fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn gone() -> Answer {
    answer::busy("the channel is being opened again")
}
