//! Signs of life of a receiver that does not tell its intervals.
//!
//! The interval of heartbeats is learnt from those that arrive. A receiver of the reference kind may also have thrown a
//! connection out without closing it, and goes on sending heartbeats; asking it how many connectors it sees tells.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::dial::{Dialer, STATUS, TIMEOUT, Through};

/// The interval of the reference's receiver, which counts until another is learnt.
const USUAL: Duration = Duration::from_secs(30);

/// Shorter ones are taken for this: two heartbeats that were held up on the way arrive together.
const SHORTEST: Duration = Duration::from_secs(1);

/// How many intervals are remembered. The longest counts.
const REMEMBERED: usize = 3;

/// How often it is looked whether webhooks still arrive.
const LOOK: Duration = Duration::from_secs(1);

/// When the receiver showed life. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Signs(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    heard: Instant,
    webhook: Instant,
    heartbeat: Option<Instant>,
    intervals: VecDeque<Duration>,
}

impl Signs {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let seen = Seen { heard: now, webhook: now, heartbeat: None, intervals: VecDeque::new() };
        Self(Arc::new(Mutex::new(seen)))
    }

    /// Notes that something was read.
    pub(super) fn note(&self) {
        self.lock().heard = Instant::now();
    }

    /// Returns when something was read last.
    pub(super) fn heard(&self) -> Instant {
        self.lock().heard
    }

    /// Notes that a webhook arrived.
    pub(super) fn note_webhook(&self) {
        self.lock().webhook = Instant::now();
    }

    /// Notes that a heartbeat arrived.
    pub(super) fn note_heartbeat(&self) {
        let mut seen = self.lock();
        let now = Instant::now();
        if let Some(before) = seen.heartbeat.replace(now) {
            seen.intervals.push_back(now - before);
        }
        if seen.intervals.len() > REMEMBERED {
            seen.intervals.pop_front();
        }
    }

    /// Returns how often a heartbeat is to be expected.
    pub(super) fn heartbeat(&self) -> Duration {
        self.lock().intervals.iter().max().map_or(USUAL, |longest| (*longest).max(SHORTEST))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the receiver, while no webhooks arrive, whether it still knows of a connector.
pub(super) struct Watch {
    ended: oneshot::Receiver<String>,
    _asking: AbortOnDropHandle<()>,
}

impl Watch {
    pub(super) fn start(dialer: &Arc<Dialer>, signs: &Signs) -> Self {
        let (end, ended) = oneshot::channel();
        let (dialer, signs) = (Arc::clone(dialer), signs.clone());
        let asking = tokio::spawn(async move {
            let mut asked = Instant::now();
            loop {
                tokio::time::sleep(LOOK).await;
                let quiet = 2 * signs.heartbeat();
                if signs.lock().webhook.elapsed() < quiet || asked.elapsed() < quiet {
                    continue;
                }
                asked = Instant::now();
                if is_forgotten(&dialer).await {
                    break;
                }
            }
            let why = "the receiver sees no connector on the channel: it has forgotten this connection";
            // Whoever wanted to know may have gone.
            drop(end.send(why.to_owned()));
        });
        Self { ended, _asking: AbortOnDropHandle::new(asking) }
    }

    /// Waits until the receiver has forgotten the connection. Cancelling loses nothing.
    pub(super) async fn ended(watch: &mut Option<Self>) -> String {
        if let Some(Self { ended, .. }) = watch
            && let Ok(why) = ended.await
        {
            return why;
        }
        std::future::pending().await
    }
}

async fn is_forgotten(dialer: &Dialer) -> bool {
    match tokio::time::timeout(TIMEOUT, connected_clients(dialer)).await {
        Ok(Ok(clients)) => clients == Some(0),
        Ok(Err(error)) => {
            debug!(channel = %dialer.channel(), error, "the receiver's status cannot be had");
            false
        }
        Err(_) => false,
    }
}

#[derive(Deserialize)]
struct Status {
    stats: Stats,
}

#[derive(Deserialize)]
struct Stats {
    connected_clients: Option<u64>,
}

async fn connected_clients(dialer: &Dialer) -> Result<Option<u64>, String> {
    let mut http = dialer.open(Through::Request).await.map_err(|error| error.to_string())?;
    let path = dialer.status_path();
    let request = dialer.request(Method::GET, &path, Through::Request);
    let response = dialer.send(&mut http, request).await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(dialer.refused(response).await.to_string());
    }
    let body =
        Limited::new(response.into_body(), STATUS).collect().await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "an answer of the receiver, and no webhook's body")]
    let status: Status = serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
    Ok(status.stats.connected_clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_interval_of_heartbeats_is_learnt_from_the_longest_of_the_last() {
        let signs = Signs::new();
        signs.note_heartbeat();
        assert_eq!(signs.heartbeat(), USUAL);
        for (seconds, learnt) in [(20, 20), (2, 20), (2, 20), (2, 2), (0, 2), (0, 2), (0, 1)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            signs.note_heartbeat();
            assert_eq!(signs.heartbeat(), Duration::from_secs(learnt));
        }
    }
}
