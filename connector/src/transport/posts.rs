//! Settlements over HTTP, over connections that are kept: many in one request where the receiver takes that, else one
//! request each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use engine::clock;
use futures::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use schemas::wire::SETTLEMENTS_TYPE;
use schemas::wire::compatible::FromConnector;
use serde::Deserialize;
use tracing::debug;

use super::dial::{Body, Dialer, Http, TIMEOUT, Through, front};

/// How many requests are under way at a time.
const AT_ONCE: usize = 8;

/// How large the answer to a settlement may be, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// The waits before a request that failed is sent again. Settling twice does no harm.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Sends settlements. Cloning shares the connections.
#[derive(Clone)]
pub(super) struct Posts(Arc<Shared>);

struct Shared {
    dialer: Arc<Dialer>,
    /// The id that the receiver gave the stream.
    session: Mutex<ByteString>,
    idle: Mutex<Vec<Http>>,
}

/// One request.
enum Post {
    /// A heartbeat, or one settlement: its path and query say it all.
    One(String),
    /// Settlements, one per line.
    Together(Vec<FromConnector>),
}

/// Why a request came to nothing.
enum Failed {
    /// Sending it again may help.
    Again(String),
    /// The stream is of no use any more.
    Over(String),
}

impl Posts {
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        let (session, idle) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { dialer, session, idle }))
    }

    /// Notes the id of the stream.
    pub(super) fn belong_to(&self, session: ByteString) {
        *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Tells everything, in no order. Cancelling leaves some of it untold.
    ///
    /// # Errors
    /// Something could not be told, and the stream is over.
    pub(super) async fn tell(self, all: Vec<FromConnector>) -> Result<(), String> {
        let left = self.send_all(self.posts(all)).await?;
        if left.is_empty() {
            return Ok(());
        }
        debug!(count = left.len(), "settlements are told again, one by one");
        let singly = left.iter().filter_map(|told| path(&self.0.dialer, told)).map(Post::One).collect();
        self.send_all(singly).await.map(drop)
    }

    /// Returns the requests that tell everything.
    fn posts(&self, all: Vec<FromConnector>) -> Vec<Post> {
        let dialer = &self.0.dialer;
        let (mut together, mut posts) = (Vec::new(), Vec::new());
        for told in all {
            match told {
                FromConnector::Settle { .. } | FromConnector::Progress { .. } => together.push(told),
                told => posts.extend(path(dialer, &told).map(Post::One)),
            }
        }
        match dialer.settlements() {
            Some(most) => posts.extend(together.chunks(most).map(|some| Post::Together(some.to_vec()))),
            None => posts.extend(together.iter().filter_map(|told| path(dialer, told)).map(Post::One)),
        }
        posts
    }

    /// Sends requests, and returns what is still to be told one by one.
    async fn send_all(&self, posts: Vec<Post>) -> Result<Vec<FromConnector>, String> {
        let posts = posts.into_iter().map(|post| self.clone().post(post));
        let mut requests = futures::stream::iter(posts).buffer_unordered(AT_ONCE);
        let mut left = Vec::new();
        while let Some(told) = requests.next().await {
            left.extend(told?);
        }
        Ok(left)
    }

    async fn post(self, post: Post) -> Result<Vec<FromConnector>, String> {
        let mut waits = WAITS.into_iter();
        loop {
            let tried = tokio::time::timeout(TIMEOUT, self.try_post(&post)).await;
            let why = match tried.unwrap_or_else(|_| Err(Failed::Again("no answer in time".to_owned()))) {
                Ok(left) => return Ok(left),
                Err(Failed::Over(why)) => return Err(why),
                Err(Failed::Again(why)) => why,
            };
            let wait = waits.next().ok_or_else(|| format!("a settlement could not be told: {why}"))?;
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_post(&self, post: &Post) -> Result<Vec<FromConnector>, Failed> {
        let again = |error: super::ConnectError| Failed::Again(error.to_string());
        let kept = self.idle().pop();
        let mut http = match kept {
            Some(http) => http,
            None => self.0.dialer.open(Through::Request).await.map_err(again)?,
        };
        let response = self.0.dialer.send(&mut http, self.request(post)).await.map_err(again)?;
        match (response.status(), post) {
            (status, _) if status.is_success() => {}
            (StatusCode::UNAUTHORIZED, _) => {
                return Err(Failed::Over(self.0.dialer.refused(response).await.to_string()));
            }
            // Another receiver than the one that offered it, or something between, does not take them together.
            (status, Post::Together(all)) if status.is_client_error() => {
                self.0.dialer.tell_one_by_one();
                return Ok(all.clone());
            }
            (StatusCode::NOT_FOUND, Post::One(_)) => {
                let text = front(response.into_body()).await;
                // Any other text says that the message is not in flight, which is as good as settled.
                if text.contains("Connection not found") {
                    return Err(Failed::Over("the receiver does not know the stream any more".to_owned()));
                }
                return Ok(Vec::new());
            }
            // Nothing that is sent again would be understood better.
            (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, Post::One(_)) => {}
            _ => return Err(Failed::Again(self.0.dialer.refused(response).await.to_string())),
        }
        // Read to its end, so that the connection can be kept.
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let Ok(body) = body.map(http_body_util::Collected::to_bytes) else { return Ok(Vec::new()) };
        let mut idle = self.idle();
        if idle.len() < AT_ONCE {
            idle.push(http);
        }
        Ok(match post {
            Post::One(_) => Vec::new(),
            Post::Together(all) => unsettled(&body, all),
        })
    }

    fn request(&self, post: &Post) -> Request<Body> {
        let dialer = &self.0.dialer;
        let mut request = match post {
            Post::One(path) => dialer.request(Method::POST, path, Through::Request),
            Post::Together(all) => {
                let path = dialer.address().connect_path("ack");
                let mut request = dialer.request(Method::POST, &path, Through::Request);
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SETTLEMENTS_TYPE));
                let lines: Vec<String> = all.iter().map(|told| told.encode(clock::now())).collect();
                *request.body_mut() = lines.join("\n").into();
                request
            }
        };
        let session = self.0.session.lock().unwrap_or_else(PoisonError::into_inner).to_string();
        if let Ok(session) = HeaderValue::try_from(session) {
            request.headers_mut().insert(HeaderName::from_static("x-connection-id"), session);
        }
        request
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Http>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns which of the settlements the receiver asks for again: their channel does not run at the moment.
#[expect(clippy::disallowed_methods, reason = "it reads the answer of a receiver")]
fn unsettled(answer: &[u8], all: &[FromConnector]) -> Vec<FromConnector> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        again: Vec<String>,
    }
    let again = serde_json::from_slice(answer).map_or_else(|_| Vec::new(), |Answer { again }| again);
    let is_again = |message: &ByteString| again.iter().any(|id| *id == **message);
    let wanted = all.iter().filter(|told| match told {
        FromConnector::Settle { message, .. } | FromConnector::Progress { message } => is_again(message),
        FromConnector::Window(_) | FromConnector::Heartbeat => false,
    });
    wanted.cloned().collect()
}

/// Returns the path and the query that say it; none when HTTP has no words for it.
fn path(dialer: &Dialer, told: &FromConnector) -> Option<String> {
    match told {
        FromConnector::Heartbeat if dialer.is_versioned() => Some(dialer.address().connect_path("heartbeat")),
        FromConnector::Heartbeat | FromConnector::Window(_) => None,
        FromConnector::Settle { .. } | FromConnector::Progress { .. } => {
            Some(format!("{}?{}", dialer.address().connect_path("ack"), told.to_query()?))
        }
    }
}
