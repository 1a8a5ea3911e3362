//! A receiver that keeps one channel in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloud::Settings;
use engine::config::{Faults, Node, Pointer, Secret};
use engine::graph::check::check;
use engine::kind::Kind;
use engine::pipeline::{Opened, Pipelines, Surroundings};
use schemas::connections::Connections;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::http::{self, Answer};

/// The token of the channel `c`.
pub(crate) const TOKEN: &str = "channel-token";

const ADMIN: &str = "admin-token";

/// The secret that the webhooks `dropbox` and `slack` are signed with.
pub(crate) const SECRET: &str = "signing-secret";

/// A receiver. The webhook `json` takes JSON and `blob` anything, `dropbox` and `slack` what is signed,
/// `events` what `a.example` posts; all feed the channel `c`.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    _stop: watch::Sender<bool>,
    _pipelines: Pipelines,
}

impl Receiver {
    /// Starts one whose channel has these bounds.
    pub(crate) async fn start(bounds: Value) -> Self {
        Self::start_with(bounds, Settings::default()).await
    }

    pub(crate) async fn start_with(bounds: Value, settings: Settings) -> Self {
        let mut channel = json!({ "channel": "c", "channel_token": TOKEN });
        for (key, bound) in bounds.as_object().unwrap() {
            channel[key] = bound.clone();
        }
        let entry =
            |kind: &str| json!({ "module": "webhook_connect", "module-config": channel, "data_type": kind });
        let signed = |provider: &str| {
            let mut entry = entry("json");
            entry["signature"] = json!({ "provider": provider, "secret": SECRET });
            entry
        };
        let mut greeted = entry("json");
        greeted["handshake"] = json!({ "sender": "cloudevents", "origins": ["a.example"] });
        greeted["authorization"] = json!("Bearer t");
        let webhooks = json!({
            "json": entry("json"), "blob": entry("blob"),
            "dropbox": signed("dropbox"), "slack": signed("slack"), "events": greeted,
        });
        Self::start_taking(&webhooks, settings).await
    }

    /// Starts one that takes these webhooks.
    pub(crate) async fn start_taking(webhooks: &Value, settings: Settings) -> Self {
        let kinds: Arc<[Kind]> = stages::registry::kinds().into_iter().chain(cloud::kinds()).collect();
        let mut faults = Faults::default();
        let flags = vec![(&["buffer", "url"][..], "memory:".to_owned())];
        let nothing = |_: &str| None;
        let own = schemas::receiver::read(None, Path::new(""), &nothing, &flags, &mut faults).unwrap();
        let root = Node::new(webhooks.clone(), Pointer::root());
        let connections = Connections::read(None, &mut faults);
        let drafts = schemas::webhooks::read(&root, &own, &connections, &mut faults);
        let plans = check(drafts, &kinds, &mut faults);
        let plans = plans.unwrap_or_else(|| panic!("{faults:?}"));
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings::new(kinds, stopped);
        let opened = Opened::all(plans, &surroundings).await.unwrap();
        let pipelines = Pipelines::run(opened, &surroundings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings { admin_token: Some(Secret::new(ADMIN)), ..settings };
        tokio::spawn(async move { cloud::serve(listener, settings, &surroundings).await });
        Self { address, _stop: stop, _pipelines: pipelines }
    }

    /// Posts a body, which must be accepted, and returns the message id.
    pub(crate) async fn accepts(&self, webhook: &str, body: &[u8]) -> String {
        let head = format!(
            "POST /webhook/{webhook}?from=test HTTP/1.1\r\nhost: h\r\nx-event: one\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let answer = http::ask(self.address, &[head.as_bytes(), body].concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["message_id"].as_str().unwrap().to_owned()
    }

    /// Sends a request of a connector with these lines beside those that it always has.
    pub(crate) async fn asks(&self, request: &str, lines: &[&str]) -> Answer {
        http::ask(self.address, http::request(request, lines).as_bytes()).await
    }

    /// Sends an acknowledgement by HTTP.
    pub(crate) async fn acknowledges(&self, query: &str) -> Answer {
        let lines = [&*authorization(), "X-Connection-ID: any"];
        self.asks(&format!("POST /connect/ack?{query}"), &lines).await
    }

    /// Sends settlements in one request.
    pub(crate) async fn settles(&self, authorization: &str, body: &str) -> Answer {
        let length = format!("content-length: {}", body.len());
        let lines = [authorization, "X-Connection-ID: any", "content-type: application/x-ndjson", &length];
        let head = http::request("POST /connect/ack", &lines);
        http::ask(self.address, &[head.as_bytes(), body.as_bytes()].concat()).await
    }

    /// Returns the channel's figures.
    pub(crate) async fn stats(&self) -> Value {
        self.admin("stats").await
    }

    async fn admin(&self, what: &str) -> Value {
        let line = format!("Authorization: Bearer {ADMIN}");
        self.asks(&format!("GET /admin/webhook-connect/channels/c/{what}"), &[&line]).await.json()
    }

    /// Waits until a figure is `count`.
    pub(crate) async fn comes_to(&self, figure: &str, count: u64) {
        let mut found = Value::Null;
        for _ in 0..500 {
            found = self.stats().await[figure].clone();
            if found == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{figure} is {found} and not {count}");
    }

    /// Waits until a webhook is in the dead letters and returns what is told about it there.
    pub(crate) async fn parks(&self, message: &str) -> String {
        for _ in 0..500 {
            let letters = self.admin("dead-letters?limit=100").await;
            let all = letters["messages"].as_array().unwrap();
            if let Some(letter) = all.iter().find(|letter| letter["message_id"] == message) {
                return letter.to_string();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{message} is not in the dead letters");
    }
}

/// The line by which every old connector says who it is.
pub(crate) fn authorization() -> String {
    format!("Authorization: Bearer {TOKEN}")
}
