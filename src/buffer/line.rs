//! A webhook as a line of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::moment;
use engine::webhook::Webhook;
use serde_json::{Value, json};
use stages::store::Standing;

/// Returns everything that is known of a webhook. Bytes that are no text stand as `{"base64": ...}`.
pub(super) fn of(channel: &str, webhook: &Webhook, standing: &Standing) -> Value {
    let head = &webhook.head;
    let headers: Vec<Value> = head.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
    json!({
        "channel": channel,
        "sequence": webhook.transit.sequence,
        "id": head.id.to_string(),
        "webhook": &*head.webhook,
        "received": moment::to_text(head.received),
        "source": head.source,
        "method": &*head.method,
        "target": &*head.target,
        "headers": headers,
        "state": state(standing),
        "body_base64": STANDARD.encode(&webhook.body),
    })
}

fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes)
        .map_or_else(|_| json!({ "base64": STANDARD.encode(bytes) }), |text| json!(text))
}

fn state(standing: &Standing) -> Value {
    match standing {
        Standing::Queued => json!({ "is": "queued" }),
        Standing::Deferred { tries, until } => {
            let until = until.map(moment::to_text);
            json!({ "is": "deferred", "deliveries": tries.begun, "not_before": until })
        }
        Standing::Parked { cause, reason, at } => {
            json!({ "is": "parked", "cause": cause.as_str(), "reason": reason, "at": moment::to_text(*at) })
        }
    }
}
