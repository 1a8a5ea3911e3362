//! Settlements over HTTP, over connections that are kept: many in one request where the receiver takes that, else one
//! request each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use engine::clock;
use futures::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use schemas::wire::SETTLEMENTS_TYPE;
use schemas::wire::compatible::FromConnector;

use super::dial::{Dialer, Http, TIMEOUT, Through, front};

/// How many requests are under way at a time.
const AT_ONCE: usize = 8;

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
struct Post {
    path: String,
    /// Settlements, one per line; empty when the path says it all.
    lines: Bytes,
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
        let posts = self.posts(all).into_iter().map(|post| self.clone().post(post));
        let mut requests = futures::stream::iter(posts).buffer_unordered(AT_ONCE);
        while let Some(told) = requests.next().await {
            told?;
        }
        Ok(())
    }

    /// Returns the requests that tell everything.
    fn posts(&self, all: Vec<FromConnector>) -> Vec<Post> {
        let dialer = &self.0.dialer;
        let (mut lines, mut posts) = (Vec::new(), Vec::new());
        for told in &all {
            match told {
                FromConnector::Settle { .. } | FromConnector::Progress { .. }
                    if dialer.settlements().is_some() =>
                {
                    lines.push(told.encode(clock::now()));
                }
                told => {
                    posts.extend(path(dialer, told).map(|path| Post { path, lines: Bytes::new() }));
                }
            }
        }
        posts.extend(lines.chunks(dialer.settlements().unwrap_or(1)).map(|lines| Post {
            path: dialer.address().connect_path("ack"),
            lines: lines.join("\n").into(),
        }));
        posts
    }

    async fn post(self, post: Post) -> Result<(), String> {
        let mut waits = WAITS.into_iter();
        loop {
            let tried = tokio::time::timeout(TIMEOUT, self.try_post(&post)).await;
            let why = match tried.unwrap_or_else(|_| Err(Failed::Again("no answer in time".to_owned()))) {
                Ok(()) => return Ok(()),
                Err(Failed::Over(why)) => return Err(why),
                Err(Failed::Again(why)) => why,
            };
            let wait = waits.next().ok_or_else(|| format!("a settlement could not be told: {why}"))?;
            tokio::time::sleep(wait).await;
        }
    }

    async fn try_post(&self, post: &Post) -> Result<(), Failed> {
        let again = |error: super::ConnectError| Failed::Again(error.to_string());
        let kept = self.idle().pop();
        let mut http = match kept {
            Some(http) => http,
            None => self.0.dialer.open(Through::Request).await.map_err(again)?,
        };
        let mut request = self.0.dialer.request(Method::POST, &post.path, Through::Request);
        if !post.lines.is_empty() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SETTLEMENTS_TYPE));
            *request.body_mut() = post.lines.clone().into();
        }
        let session = self.0.session.lock().unwrap_or_else(PoisonError::into_inner).to_string();
        if let Ok(session) = HeaderValue::try_from(session) {
            request.headers_mut().insert(HeaderName::from_static("x-connection-id"), session);
        }
        let response = self.0.dialer.send(&mut http, request).await.map_err(again)?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::NOT_FOUND => {
                let text = front(response.into_body()).await;
                // Any other text says that the message is not in flight, which is as good as settled.
                if text.contains("Connection not found") {
                    return Err(Failed::Over("the receiver does not know the stream any more".to_owned()));
                }
                return Ok(());
            }
            // Nothing that is sent again would be understood better.
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Failed::Over(self.0.dialer.refused(response).await.to_string()));
            }
            _ => return Err(Failed::Again(self.0.dialer.refused(response).await.to_string())),
        }
        // Read to its end, so that the connection can be kept.
        if http_body_util::Limited::new(response.into_body(), 64 * 1024).collect().await.is_ok() {
            let mut idle = self.idle();
            if idle.len() < AT_ONCE {
                idle.push(http);
            }
        }
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Http>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
