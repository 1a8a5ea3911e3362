//! GitHub-like webhooks, signed as GitHub signs them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conformance::case::Failed;
use conformance::party::http::{self, Answer, Client};
use conformance::party::sender::{DELIVERY, signature};
use http_body_util::Full;
use serde_json::json;
use tokio::task::JoinSet;

/// The secret that the demonstration's webhooks are signed with.
pub(super) const SECRET: &str = "demo-secret";

/// The path they are posted to.
const PATH: &str = "/webhook/github";

/// The kinds of webhooks that are shown one by one.
pub(super) const EVENTS: [&str; 5] = ["push", "pull_request", "issues", "release", "workflow_run"];

/// Posters at a time.
const POSTERS: usize = 8;

/// How long a poster waits before it tries again to reach a receiver that is away.
const AGAIN: Duration = Duration::from_millis(20);

/// Posts one webhook and returns its name and the id it was accepted under.
pub(super) async fn post(address: SocketAddr, event: &str) -> Result<(String, String), Failed> {
    let name = format!("one-{event}");
    let answer = http::send(address, request(event, &name)?).await?;
    let id = answer.json()?["message_id"].as_str().map(str::to_owned);
    id.map(|id| (name, id)).ok_or_else(|| Failed(format!("the webhook was answered {}", answer.status)))
}

/// Returns a command line that posts a webhook.
pub(super) fn curl(url: &str) -> String {
    let body = r#"{"zen":"Anything added dilutes everything else."}"#;
    let signature = signature(SECRET, body.as_bytes());
    format!(
        "curl -i {url}{PATH} -H 'Content-Type: application/json' -H 'X-GitHub-Event: ping' \
         -H 'X-Hub-Signature-256: {signature}' -d '{body}'"
    )
}

fn request(event: &str, name: &str) -> Result<::http::Request<Full<Bytes>>, Failed> {
    let body = json!({
        "action": "demonstrated",
        "repository": { "id": 1_296_269, "full_name": "octocat/Hello-World" },
        "sender": { "login": "octocat", "id": 1 },
        "delivery": name,
    });
    let body = Bytes::from(body.to_string());
    let request = ::http::Request::post(PATH)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header(DELIVERY, name)
        .header("x-hub-signature-256", signature(SECRET, &body));
    Ok(request.body(Full::new(body))?)
}

/// Posters at work until enough was accepted.
pub(super) struct Posts {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    posters: JoinSet<()>,
}

impl Posts {
    /// Starts to post until `count` webhooks were answered 2xx. One that was not answered is posted again under another
    /// name, so that what was accepted is known exactly.
    pub(super) fn start(address: SocketAddr, count: usize) -> Self {
        let (accepted, left) = (Arc::default(), Arc::new(AtomicUsize::new(count)));
        let mut posters = JoinSet::new();
        for poster in 0..POSTERS {
            posters.spawn(post_many(address, poster, Arc::clone(&left), Arc::clone(&accepted)));
        }
        Self { accepted, posters }
    }

    /// Returns how many were answered 2xx so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for the posters and returns the names of all that was answered 2xx.
    pub(super) async fn end(mut self) -> BTreeSet<String> {
        while self.posters.join_next().await.is_some() {}
        std::mem::take(&mut *self.accepted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn post_many(
    address: SocketAddr,
    poster: usize,
    left: Arc<AtomicUsize>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
) {
    let (mut client, mut nth) = (None, 0_u64);
    let take = |left: usize| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        loop {
            nth += 1;
            let name = format!("{poster}-{nth}");
            match post_over(address, &mut client, &name).await {
                Ok(answer) if answer.status.is_success() => {
                    accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                    break;
                }
                Ok(_) | Err(_) => {
                    client = None;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn post_over(address: SocketAddr, client: &mut Option<Client>, name: &str) -> Result<Answer, Failed> {
    let open = match client.take() {
        Some(open) => open,
        None => Client::connect(address).await?,
    };
    client.insert(open).send(request("push", name)?).await
}
