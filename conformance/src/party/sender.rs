//! Senders: they sign as GitHub signs and remember what was answered 2xx.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::Request;
use ::http::request::Builder;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use sha2::Sha256;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::case::Failed;
use crate::party::http::{self, Answer, Client};
use crate::party::receiver::{SECRET, WEBHOOK};

/// How long a sender waits before it tries again to reach a receiver that is away.
const AGAIN: Duration = Duration::from_millis(20);

/// The header by which cases tell their webhooks apart.
pub const DELIVERY: &str = "x-github-delivery";

/// Returns the signature of `body` as GitHub writes it.
#[must_use]
pub fn signature(secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Begins a signed POST of `body` to the suite's webhook.
#[must_use]
pub fn post(body: &[u8]) -> Builder {
    Request::post(format!("/webhook/{WEBHOOK}"))
        .header("host", "localhost")
        .header("x-hub-signature-256", signature(SECRET, body))
}

/// Posts `body`, named `delivery`.
///
/// # Errors
/// The receiver cannot be reached, or hangs up.
pub async fn send(address: SocketAddr, delivery: &str, body: impl Into<Bytes>) -> Result<Answer, Failed> {
    let body = body.into();
    let request = post(&body).header(DELIVERY, delivery).body(Full::new(body))?;
    http::send(address, request).await
}

/// Senders that post without pause, and the names of what was answered 2xx.
#[derive(Debug)]
pub struct Load {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<AtomicUsize>,
    stop: CancellationToken,
    senders: JoinSet<()>,
}

impl Load {
    /// Starts `senders` senders, each over a connection of its own, that post bodies of `size` bytes. Each webhook has a
    /// new name, so that what was answered is told apart from what was not.
    #[must_use]
    pub fn start(address: SocketAddr, senders: usize, size: usize) -> Self {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (accepted, refused) = (Arc::default(), Arc::default());
        for sender in 0..senders {
            let told = (Arc::clone(&accepted), Arc::clone(&refused));
            tasks.spawn(send_on(address, sender, size, told, stop.clone()));
        }
        Self { accepted, refused, stop, senders: tasks }
    }

    /// Returns how many were answered 2xx so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns how many were answered otherwise so far, or not at all.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends the load, after the requests under way, and returns the names of all that was answered 2xx.
    pub async fn end(mut self) -> BTreeSet<String> {
        self.stop.cancel();
        while self.senders.join_next().await.is_some() {}
        std::mem::take(&mut *self.accepted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn send_on(
    address: SocketAddr,
    sender: usize,
    size: usize,
    (accepted, refused): (Arc<Mutex<BTreeSet<String>>>, Arc<AtomicUsize>),
    stop: CancellationToken,
) {
    let (mut client, mut nth) = (None::<Client>, 0_u64);
    while !stop.is_cancelled() {
        nth += 1;
        let name = format!("{sender}-{nth}");
        if post_one(address, &mut client, &name, size).await.is_ok_and(|answer| answer.status.is_success()) {
            accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        } else {
            refused.fetch_add(1, Ordering::Relaxed);
            client = None;
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn post_one(
    address: SocketAddr,
    client: &mut Option<Client>,
    name: &str,
    size: usize,
) -> Result<Answer, Failed> {
    let open = match client.take() {
        Some(open) => open,
        None => Client::connect(address).await?,
    };
    let body = Bytes::from(format!("{{\"name\":\"{name}\",\"filler\":\"{}\"}}", "x".repeat(size)));
    let request = post(&body).header(DELIVERY, name).body(Full::new(body))?;
    client.insert(open).send(request).await
}
