//! A small HTTP client: one connection, one request after the other.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::case::Failed;
use crate::party::site::Site;

/// How long an answer to a GET may take.
const GET: Duration = Duration::from_secs(15);

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value, Failed> {
        let text = std::str::from_utf8(&self.body)?;
        serde_json::from_str(text)
            .map_err(|error| Failed(format!("an answer that is not JSON ({error}): {text}")))
    }
}

/// A connection that stays open between requests.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: Option<HeaderValue>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(site: impl Into<Site>) -> Result<Self, Failed> {
        let site = site.into();
        let (sender, connection) = http1::handshake(TokioIo::new(site.connect().await?)).await?;
        // A connection that breaks shows in the request that is under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: site.host().cloned() })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection broke before the answer was there whole.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Sends one request over a connection of its own.
///
/// # Errors
/// Nobody listens, or the connection broke.
pub async fn send(site: impl Into<Site>, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
    Client::connect(site).await?.send(request).await
}

/// Sends a GET with a bearer token.
///
/// # Errors
/// Nobody listens, nobody answers, or the connection broke.
pub async fn get(site: impl Into<Site>, path: &str, token: &str) -> Result<Answer, Failed> {
    let request =
        Request::get(path).header("host", "localhost").header("authorization", format!("Bearer {token}"));
    let answer = tokio::time::timeout(GET, send(site, request.body(Full::default())?)).await;
    answer.unwrap_or_else(|_| Err(Failed(format!("{path} was not answered within {GET:?}"))))
}
