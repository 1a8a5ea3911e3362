//! What the connector's log says, and what it never says.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::party::receiver::{Answers, Receiver, webhook};
use crate::party::stage::Stage;
use engine::ack::Outcome;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

/// Everything logged on this thread since it was made, as JSON.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of this crate with this message, without what differs from run to run.
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut lines: Vec<Value> = lines.filter(|line| line["message"] == message).collect();
        for line in &mut lines {
            for key in ["timestamp", "ms", "next_try_ms", "next_try_s"] {
                line.as_object_mut().unwrap().remove(key);
            }
        }
        lines
    }
}

#[tokio::test]
async fn every_settled_webhook_has_one_flow_line_without_body_or_token() {
    let (log, _guard) = Log::start();
    let mut receiver = Receiver::start(Answers::Upgrade).await;
    let mut stage = Stage::start(receiver.address, json!({})).await;
    let mut peer = receiver.session().await;
    let [good, bad] = [webhook(b"pssst-body"), webhook(b"pssst-body-2")];
    peer.deliver(&[good.clone(), bad.clone()]).await;
    stage.arrives().await.ack.settle(Outcome::Delivered);
    drop(stage.arrives().await);
    peer.settle().await;
    let line = |id: String, bytes: usize, outcome: &str| {
        json!({
            "level": "INFO", "target": "webhook_connect::flow", "message": "settled", "id": id, "channel": "payments",
            "webhook": "orders", "bytes": bytes, "outcome": outcome,
        })
    };
    let mut wanted =
        [line(good.id().to_string(), 10, "delivered"), line(bad.id().to_string(), 12, "returned")];
    wanted[1]["cause"] = json!("lost");
    assert_eq!(log.lines("settled"), wanted);
    let connected = json!({
        "level": "INFO", "target": "connector::subscribe", "message": "connected", "channel": "payments",
        "session": "s1", "transport": "websocket", "window": 100, "window_bytes": 67_108_864,
    });
    assert_eq!(log.lines("connected"), [connected]);
    let text = log.text();
    assert!(!text.contains("pssst") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn a_refused_token_is_an_error_that_names_the_channel_and_what_to_do() {
    let (log, _guard) = Log::start();
    let receiver = Receiver::start(Answers::Refuse(401, "no, s3cret is wrong")).await;
    let stage = Stage::start(receiver.address, json!({})).await;
    stage.status_becomes(|status| status["state"] == "waiting").await;
    let message = "the receiver refused the token of this channel: check the channel's name and its token here against \
        `channel_token` at the receiver; it is tried again";
    let wanted = json!({
        "level": "ERROR", "target": "connector::subscribe", "message": message, "channel": "payments",
        "error": "the receiver refused the token (401): no, *** is wrong",
    });
    assert_eq!(log.lines(message), [wanted]);
    assert!(!log.text().contains("s3cret"), "{}", log.text());
}
