//! What `POST /admin/reload-config` takes and answers, on both ends.

use std::time::SystemTime;

use engine::pipeline::Reload;
use serde::Deserialize;
use serde_json::{Value, json};

use engine::moment;

/// The largest body that is taken, in bytes.
pub const LARGEST: usize = 4096;

/// What is asked for.
#[derive(Deserialize)]
#[serde(default)]
struct Wish {
    reload_webhooks: bool,
    reload_connections: bool,
    validate_only: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { reload_webhooks: true, reload_connections: true, validate_only: false }
    }
}

/// Has the configuration read again and returns the status and the body of the answer: what changed, or what is wrong
/// with it. All files are read together, whichever of them is asked for; a body that cannot be read asks for everything.
/// Cancelling leaves the request standing.
pub async fn answer(body: &[u8], reload: &Reload) -> (u16, Value) {
    #[expect(clippy::disallowed_methods, reason = "it is an operator's request, and no webhook")]
    let wish: Wish = serde_json::from_slice(body).unwrap_or_default();
    if !wish.reload_webhooks && !wish.reload_connections {
        return (200, json!({ "status": "error", "error": "No reload operation specified" }));
    }
    let result = reload.ask(wish.validate_only).await;
    let timestamp = moment::to_text(SystemTime::now());
    match result {
        Ok(changes) => {
            let status = if wish.validate_only { "valid" } else { "success" };
            let reloaded = json!({ "webhooks": !wish.validate_only, "connections": !wish.validate_only });
            let body =
                json!({ "status": status, "reloaded": reloaded, "details": changes, "timestamp": timestamp });
            (200, body)
        }
        Err(details) => {
            let error = "the new configuration cannot be used; the one before stays in force";
            (400, json!({ "status": "error", "error": error, "details": details, "timestamp": timestamp }))
        }
    }
}
