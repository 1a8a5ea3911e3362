//! A server for gates that ask one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// What a server answers; none means never.
type Reply = Option<(u16, String)>;

/// A server on this machine that gives every request the same answer, until it is given another.
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    reply: Mutex<Reply>,
    calls: AtomicUsize,
    latest: Mutex<Option<(HeaderMap, String)>>,
}

impl Server {
    /// Starts one that answers 200 with this body.
    pub(super) async fn start(body: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = Mutex::new(Some((200, body.into())));
        let state = Arc::new(State { reply, calls: AtomicUsize::new(0), latest: Mutex::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(request, Arc::clone(&state)));
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/ask", self.address)
    }

    /// Lets it answer something else from now on.
    pub(super) fn reply(&self, reply: Reply) {
        *self.state.reply.lock().unwrap() = reply;
    }

    /// How many requests it has seen.
    pub(super) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// The headers and the body of the latest request.
    pub(super) fn latest(&self) -> (HeaderMap, String) {
        self.state.latest.lock().unwrap().clone().unwrap()
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    *state.latest.lock().unwrap() = Some((head.headers, body));
    state.calls.fetch_add(1, Ordering::SeqCst);
    let reply = state.reply.lock().unwrap().clone();
    match reply {
        Some((status, body)) => Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap()),
        None => std::future::pending().await,
    }
}

/// Lets time pass at once, for tests on the real clock.
pub(super) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
