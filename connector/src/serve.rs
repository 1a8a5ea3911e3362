//! Shows the status over HTTP.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::config::Secret;
use engine::meter::Meter;
use engine::pipeline::{Reload, Surroundings};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
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

/// Who may have the configuration read again, and how that is done.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What operators present.
    pub token: Secret,
    /// Reads the configuration again.
    pub reload: Reload,
}

/// What every connection shows.
struct Shown {
    board: Arc<Board>,
    meter: Meter,
    admin: Option<Admin>,
}

/// Serves `/health` and `/status` on `listener`, and with `admin` also `POST /admin/reload-config`, until told to stop.
///
/// `/health` answers 200 when every channel is connected and 503 otherwise; `/status` tells how each channel stands and
/// what was counted. Neither shows a token, an address or anything of a webhook. Cancelling ends every connection.
pub async fn serve_status(listener: TcpListener, surroundings: Surroundings, admin: Option<Admin>) {
    let Surroundings { resources, meter, mut stop, .. } = surroundings;
    let shown = Arc::new(Shown { board: Board::shared(&resources), meter, admin });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop::told(&mut stop) => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shown)));
                }
                Err(error) => {
                    warn!(%error, "a connection for the status cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn serve(stream: TcpStream, shown: Arc<Shown>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shown = Arc::clone(&shown);
        async move {
            Ok::<_, Infallible>(match (request.uri().path(), &shown.admin) {
                ("/admin/reload-config", Some(admin)) => reload(request, admin).await,
                (path, _) => answer(request.method(), path, &shown.board, &shown.meter),
            })
        }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFETIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a connection for the status broke"),
    }
}

/// Has the configuration read again for those who know the token.
async fn reload(request: Request<Incoming>, admin: &Admin) -> Response<Full<Bytes>> {
    let presented = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if !admin.token.matches(presented.strip_prefix(b"Bearer ").unwrap_or_default()) {
        return respond(StatusCode::UNAUTHORIZED, &json!({"detail": "invalid token"}));
    }
    if request.method() != Method::POST {
        return respond(StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": "only POST is taken here"}));
    }
    let Ok(body) = Limited::new(request.into_body(), schemas::reload::LARGEST).collect().await else {
        return respond(StatusCode::BAD_REQUEST, &json!({"detail": "the body is too large or was cut off"}));
    };
    let (status, body) = schemas::reload::answer(&body.to_bytes(), &admin.reload).await;
    respond(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), &body)
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
