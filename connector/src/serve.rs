//! Shows the status over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::kind::Resources;
use engine::meter::Meter;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::status::{Board, State};
use crate::stop;

/// How many connections are served at a time.
const CONNECTIONS: usize = 64;

/// How long a connection may live.
const LIFETIME: Duration = Duration::from_secs(30);

/// How long to wait after the listener refused to give a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves `/health` and `/status` on `listener` until `stop` becomes true.
///
/// `/health` answers 200 when every channel is connected and 503 otherwise; `/status` tells how each channel stands and
/// what was counted. Neither shows a token, an address or anything of a webhook. Cancelling ends every connection.
pub async fn serve_status(
    listener: TcpListener,
    resources: Resources,
    meter: Meter,
    mut stop: watch::Receiver<bool>,
) {
    let board = Board::shared(&resources);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop::told(&mut stop) => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&board), meter.clone()));
                }
                Err(error) => {
                    warn!(%error, "a connection for the status cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, board: Arc<Board>, meter: Meter) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &board, &meter);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFETIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a connection for the status broke"),
    }
}

fn answer(method: &Method, path: &str, board: &Board, meter: &Meter) -> Response<Full<Bytes>> {
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/health") => health(board),
        (&Method::GET | &Method::HEAD, "/status") => status(board, meter),
        (_, "/health" | "/status") => {
            respond(StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": "Method Not Allowed"}))
        }
        _ => respond(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
    }
}

fn health(board: &Board) -> Response<Full<Bytes>> {
    let channels: BTreeMap<String, State> =
        board.shown().into_iter().map(|(name, one)| (name, one.state)).collect();
    let healthy = !channels.is_empty() && channels.values().all(|state| *state == State::Connected);
    let (status, word) =
        if healthy { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "unhealthy") };
    respond(status, &json!({"status": word, "channels": channels}))
}

fn status(board: &Board, meter: &Meter) -> Response<Full<Bytes>> {
    let counts = meter.counts().into_iter();
    let counts: Vec<Value> = counts
        .map(|(metric, place, kind, count)| {
            json!({"metric": metric.name(), "place": place, "kind": kind, "count": count})
        })
        .collect();
    respond(StatusCode::OK, &json!({"channels": board.shown(), "counters": counts}))
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
