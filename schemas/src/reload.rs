//! What `POST /admin/reload-config` takes and answers, on both ends.

use std::time::SystemTime;

use engine::pipeline::Reload;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use engine::moment;

/// The largest body that is taken, in bytes.
pub const LARGEST: usize = 4096;

/// What is asked for.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
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
/// with it. All files are read together, whichever of them is asked for; without a body everything is. A body that is not
/// understood changes nothing: it may have asked to look only.
/// Cancelling leaves the request standing.
pub async fn answer(body: &[u8], reload: &Reload) -> (u16, Value) {
    let wish = if body.trim_ascii().is_empty() {
        Wish::default()
    } else {
        #[expect(clippy::disallowed_methods, reason = "it is an operator's request, and no webhook")]
        let members = serde_json::from_slice::<Map<String, Value>>(body);
        match members.and_then(|members| Wish::deserialize(Value::Object(members))) {
            Ok(wish) => wish,
            Err(error) => {
                return (
                    400,
                    json!({ "status": "error", "error": "the request is not understood", "details": error.to_string() }),
                );
            }
        }
    };
    if !wish.reload_webhooks && !wish.reload_connections {
        return (400, json!({ "status": "error", "error": "No reload operation specified" }));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_request_that_is_not_understood_changes_nothing() {
        let (reload, mut asked) = Reload::new();
        for body in ["{\"validate_onli\":true}", "{\"validate_only\":\"yes\"}", "xx", "[]"] {
            let answered = timeout(Duration::from_secs(5), answer(body.as_bytes(), &reload)).await;
            assert_eq!(answered.expect("nobody is asked").0, 400, "{body}");
        }
        let nothing = "{\"reload_webhooks\":false,\"reload_connections\":false}";
        assert_eq!(answer(nothing.as_bytes(), &reload).await.0, 400);
        assert!(asked.try_recv().is_err(), "nothing was asked for");
    }
}
