//! Keys that somebody publishes at a URL (RFC 7517 section 5), fetched in the background and kept fresh.
//!
//! One task per gate fetches them at once, again when they are no longer fresh, and when a token names a key that is not
//! among them; the last at most every [`REFETCH`], so that nobody can make us call as often as they like. While a fetch
//! fails the keys before stay in use, and it is repeated for ever. The task ends with the pipeline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::backoff::Backoff;
use engine::kind::Context;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use super::algorithm::Algorithm;
use super::key::from_set;
use super::ring::{Ring, Untrusted};
use super::signed::Signed;
use crate::auth::remote::{Endpoint, Failures};
use crate::http::Client;

/// How long keys are fresh whose server does not say, and the bounds of what it says.
const FRESH: Duration = Duration::from_secs(600);
const FRESH_LEAST: Duration = Duration::from_secs(60);
const FRESH_MOST: Duration = Duration::from_secs(3600);

/// How old keys must be before a token of another key makes them be fetched again.
pub(super) const REFETCH: Duration = Duration::from_secs(30);

/// How long to wait after a fetch that failed.
const RETRY: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));

/// The longest set of keys that is read, in bytes.
const LONGEST: usize = 256 << 10;

/// The keys published at a URL.
pub(in crate::auth) struct Published {
    state: watch::Receiver<State>,
    ask: Arc<Notify>,
    /// How long a webhook waits for keys that are newer.
    patience: Duration,
}

/// What is known of them.
#[derive(Clone, Default)]
struct State {
    ring: Option<Arc<Ring>>,
    /// When the latest try began.
    tried: Option<Instant>,
    /// Whether it failed.
    failed: bool,
}

/// Why a token is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is wrong.
    Wrong(&'static str),
    /// The keys that decide are not there.
    NoKeys(&'static str),
}

impl Published {
    /// Begins to fetch.
    pub(in crate::auth) fn open(
        gate: &'static str,
        url: &Endpoint,
        patience: Duration,
        cx: &Context,
    ) -> Self {
        let (tell, state) = watch::channel(State::default());
        let ask = Arc::new(Notify::new());
        let fetcher = Fetcher {
            client: Client::shared(&cx.resources),
            url: url.clone(),
            patience,
            tell,
            asked: Arc::clone(&ask),
            failures: Failures::of(gate, cx),
            random: cx.random(),
        };
        let mut task = JoinSet::new();
        task.spawn(fetcher.run());
        // Dropping a set of tasks ends them.
        cx.lasting.keep(task);
        Self { state, ask, patience }
    }

    /// Returns with success when one of the keys made `token`. Waits for newer keys when none did and those here are old.
    pub(super) async fn verify(
        &self,
        token: &Signed<'_>,
        allowed: Option<&[Algorithm]>,
    ) -> Result<(), Refused> {
        let before = self.state.borrow().clone();
        let ring = before.ring.as_ref().ok_or(Refused::NoKeys("the keys are not fetched yet"))?;
        match ring.verify(token, allowed) {
            Ok(()) => return Ok(()),
            Err(Untrusted::Wrong(why)) => return Err(Refused::Wrong(why)),
            Err(Untrusted::OfAnotherKey) => {}
        }
        let is_recent = before.tried.is_some_and(|tried| tried.elapsed() < REFETCH);
        let now = if is_recent { before } else { self.newer(&before).await? };
        if now.failed {
            return Err(Refused::NoKeys("the token is of another key, and newer ones cannot be fetched"));
        }
        let ring = now.ring.ok_or(Refused::NoKeys("the keys are not fetched yet"))?;
        match ring.verify(token, allowed) {
            Ok(()) => Ok(()),
            Err(Untrusted::Wrong(why)) => Err(Refused::Wrong(why)),
            Err(Untrusted::OfAnotherKey) => Err(Refused::Wrong("no key that is published made the token")),
        }
    }

    /// Asks for a fetch and returns what is known after the next one has ended, well or not.
    async fn newer(&self, before: &State) -> Result<State, Refused> {
        let mut state = self.state.clone();
        self.ask.notify_one();
        let fetched = state.wait_for(|state| state.tried != before.tried);
        match tokio::time::timeout(self.patience, fetched).await {
            Ok(Ok(state)) => Ok(state.clone()),
            Ok(Err(_)) | Err(_) => {
                Err(Refused::NoKeys("the token is of another key, and newer ones did not come"))
            }
        }
    }
}

/// The task that fetches.
struct Fetcher {
    client: Arc<Client>,
    url: Endpoint,
    patience: Duration,
    tell: watch::Sender<State>,
    asked: Arc<Notify>,
    failures: Failures,
    random: StdRng,
}

impl Fetcher {
    async fn run(mut self) {
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let wait = match self.fetch().await {
                Ok((ring, fresh)) => {
                    tries = 0;
                    self.failures.succeeded();
                    self.tell.send_replace(State {
                        ring: Some(Arc::new(ring)),
                        tried: Some(began),
                        failed: false,
                    });
                    fresh
                }
                Err(why) => {
                    tries += 1;
                    self.failures.failed(&why);
                    self.tell.send_modify(|state| (state.tried, state.failed) = (Some(began), true));
                    RETRY.wait(tries, &mut self.random)
                }
            };
            self.rest(began, wait).await;
        }
    }

    /// Waits until the next fetch is due, or asked for and allowed.
    async fn rest(&self, began: Instant, wait: Duration) {
        let due = tokio::time::sleep(wait);
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased;
                () = &mut due => return,
                () = self.asked.notified() => {
                    if began.elapsed() >= REFETCH {
                        return;
                    }
                }
            }
        }
    }

    /// Fetches the keys, and how long they are fresh.
    async fn fetch(&self) -> Result<(Ring, Duration), String> {
        let mut request = Request::new(Full::new(Bytes::new()));
        request.uri_mut().clone_from(&self.url.0);
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        let page =
            self.client.fetch(request, self.patience, LONGEST).await.map_err(|error| error.to_string())?;
        if page.status != StatusCode::OK {
            return Err(format!("the server of the keys answered {}", page.status));
        }
        Ok((read(&page.body)?, freshness(&page.headers)))
    }
}

/// Reads a set of keys, of which at least one can be used.
fn read(body: &[u8]) -> Result<Ring, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the set of keys is no text")?;
    let set: Value = serde_json::from_str(text).map_err(|_| "the set of keys is no JSON")?;
    let (keys, unusable) = from_set(&set)?;
    for why in &unusable {
        debug!(why, "a published key is left out");
    }
    if keys.is_empty() {
        return Err(unusable
            .into_iter()
            .next()
            .unwrap_or_else(|| "the set has no key for signatures".to_owned()));
    }
    Ok(Ring(keys))
}

/// Reads how long an answer is fresh (RFC 9111 section 5.2.2), within bounds.
fn freshness(headers: &HeaderMap) -> Duration {
    let all = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = all.flat_map(|value| value.split(',')).map(|one| one.trim().to_ascii_lowercase());
    let seconds = directives.find_map(|one| match one.as_str() {
        "no-cache" | "no-store" => Some(0),
        _ => one.strip_prefix("max-age=")?.trim_matches('"').parse().ok(),
    });
    seconds.map_or(FRESH, Duration::from_secs).clamp(FRESH_LEAST, FRESH_MOST)
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fresh_as_long_as_their_server_says_within_bounds() {
        let fresh = |value: &str| {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value.parse().unwrap())]);
            freshness(&headers).as_secs()
        };
        assert_eq!(freshness(&HeaderMap::new()), FRESH);
        assert_eq!(fresh("public, max-age=900, must-revalidate"), 900);
        assert_eq!((fresh("Max-Age=\"1200\""), fresh("max-age=soon")), (1200, 600));
        assert_eq!((fresh("max-age=0"), fresh("max-age=9, no-store"), fresh("no-cache")), (60, 60, 60));
        assert_eq!(fresh("max-age=31536000"), 3600);
    }

    #[test]
    fn a_set_is_read_without_the_keys_that_cannot_be_used() {
        let ed =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}"#;
        let odd = r#"{"kty":"EC","crv":"P-521"}, {"kty":"RSA","use":"enc"}, {"kty":"oct","k":"AA"}, 5"#;
        assert_eq!(read(format!("{{\"keys\": [{odd}, {ed}]}}").as_bytes()).unwrap().0.len(), 1);
        let short = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}"#;
        let off_curve = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}"#;
        for set in ["", "[]", "{}", r#"{"keys": []}"#, &format!("{{\"keys\": [{odd}]}}"), short, off_curve] {
            assert!(read(set.as_bytes()).is_err(), "{set}");
        }
    }
}
