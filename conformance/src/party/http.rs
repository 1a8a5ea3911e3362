//! A small HTTP client: one connection, one request after the other.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::case::Failed;

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
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self, Failed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // A connection that breaks shows in the request that is under way.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// The connection broke before the answer was there whole.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
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
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
    Client::connect(address).await?.send(request).await
}

/// Sends a GET with a bearer token.
///
/// # Errors
/// Nobody listens, or the connection broke.
pub async fn get(address: SocketAddr, path: &str, token: &str) -> Result<Answer, Failed> {
    let request =
        Request::get(path).header("host", "localhost").header("authorization", format!("Bearer {token}"));
    send(address, request.body(Full::default())?).await
}
