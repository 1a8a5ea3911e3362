//! The connector's end of the compatible transports, as small as cases need it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ::http::Request;
use ::http::header::HOST;
use ::http::request::Builder;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use schemas::wire::compatible::{
    FromConnector, FromReceiver, Gap, Polled, Received, TAP_HEADER, WINDOW_HEADER,
};
use schemas::wire::{VERSION, VERSION_HEADER};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::case::{Failed, ensure};
use crate::party::http;
use crate::party::site::Site;

/// The bytes of every window, which cases leave wide.
const BYTES: usize = 64 << 20;

/// What a connector announces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced<'a> {
    pub(super) token: &'a str,
    pub(super) window: usize,
    pub(super) tap: bool,
}

/// Adds what a connector that knows our additions announces.
pub(super) fn announce(request: Builder, Announced { token, window, tap }: Announced<'_>) -> Builder {
    request
        .header(TAP_HEADER, u16::from(tap))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header(VERSION_HEADER, VERSION)
        .header(WINDOW_HEADER, format!("{window};{BYTES}"))
}

/// A stream of server-sent events. Dropping it cuts the connection.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    read: BytesMut,
    _connection: JoinSet<()>,
}

impl Events {
    pub(super) async fn open(site: &Site, channel: &str, announced: Announced<'_>) -> Result<Self, Failed> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(site.connect().await?)).await?;
        let mut task = JoinSet::new();
        // A connection that breaks shows in what is read.
        task.spawn(async move { drop(connection.await) });
        let mut request = announce(Request::get(format!("/connect/stream/{channel}/sse")), announced)
            .body(Full::<Bytes>::default())?;
        if let Some(host) = site.host() {
            request.headers_mut().insert(HOST, host.clone());
        }
        let answer = sender.send_request(request).await?;
        ensure(answer.status() == 200, || format!("the stream was answered {}", answer.status()))?;
        Ok(Self { body: answer.into_body(), read: BytesMut::new(), _connection: task })
    }

    /// Waits up to `most` for an event.
    pub(super) async fn next(&mut self, most: Duration) -> Result<Option<FromReceiver>, Failed> {
        let end = Instant::now() + most;
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\n\n") {
                let event = self.read.split_to(at + 2);
                let text = std::str::from_utf8(&event)?;
                ensure(text.is_ascii(), || "an event that is not pure ASCII".to_owned())?;
                let (mut name, mut data) = ("message", "");
                for line in text.lines() {
                    match line.split_once(": ") {
                        Some(("event", value)) => name = value,
                        Some(("data", value)) => data = value,
                        Some(_) | None => {}
                    }
                }
                return Ok(Some(FromReceiver::decode_event(name, data)?));
            }
            let Ok(frame) = tokio::time::timeout_at(end, self.body.frame()).await else { return Ok(None) };
            let frame = frame.ok_or_else(|| Failed("the receiver ended the stream".to_owned()))??;
            if let Some(data) = frame.data_ref() {
                self.read.extend_from_slice(data);
            }
        }
    }
}

/// A connector that polls. Each has a name of its own, which its window belongs to.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) site: Site,
    pub(super) channel: String,
    pub(super) token: String,
    pub(super) window: usize,
    pub(super) tap: bool,
    pub(super) missed: Option<Gap>,
    pub(super) name: String,
    pub(super) connection: String,
    pub(super) waiting: VecDeque<Received>,
}

impl Poll {
    pub(super) fn new(site: Site, channel: &str, announced: Announced<'_>) -> Self {
        let Announced { token, window, tap } = announced;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("conformance-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (channel, token) = (channel.to_owned(), token.to_owned());
        Self {
            site,
            channel,
            token,
            window,
            tap,
            missed: None,
            name,
            connection: "none".to_owned(),
            waiting: VecDeque::new(),
        }
    }

    /// Polls for whole seconds, at least one.
    pub(super) async fn next(&mut self, most: Duration) -> Result<Option<FromReceiver>, Failed> {
        if self.waiting.is_empty() {
            let seconds = most.as_secs().clamp(1, 60);
            let messages = self.window.clamp(1, 100);
            if let Some(polled) = self.poll(seconds, messages).await? {
                self.missed = polled.gap;
                self.connection = polled.connection.to_string();
                self.waiting.extend(polled.webhooks);
            }
        }
        if let Some(gap) = self.missed.take() {
            return Ok(Some(FromReceiver::Gap(gap)));
        }
        Ok(self.waiting.pop_front().map(|received| FromReceiver::Webhook(Box::new(received))))
    }

    /// Polls once.
    pub(super) async fn poll(&self, seconds: u64, messages: usize) -> Result<Option<Polled>, Failed> {
        let path = format!("/connect/stream/{}/poll?timeout={seconds}&max_messages={messages}", self.channel);
        let request = announce(
            Request::get(path),
            Announced { token: &self.token, window: self.window, tap: self.tap },
        )
        .header("x-connector-id", &self.name)
        .body(Full::default())?;
        let answer = http::send(&self.site, request).await?;
        match answer.status.as_u16() {
            204 => Ok(None),
            200 => {
                let (polled, left_out) = Polled::decode(std::str::from_utf8(&answer.body)?)?;
                ensure(left_out == 0, || format!("{left_out} webhooks of a poll are not understood"))?;
                Ok(Some(polled))
            }
            other => Err(Failed(format!("the poll was answered {other}"))),
        }
    }
}

/// Says something by `POST /connect/ack` and returns the status of the answer.
///
/// # Errors
/// The receiver cannot be reached, or it is nothing that is said there.
pub async fn say(
    site: impl Into<Site>,
    token: &str,
    connection: &str,
    told: &FromConnector,
) -> Result<u16, Failed> {
    let query = told.to_query().ok_or_else(|| Failed("this is not said by HTTP".to_owned()))?;
    post(site, token, connection, &query).await
}

/// Posts any query to `/connect/ack` and returns the status of the answer.
///
/// # Errors
/// The receiver cannot be reached.
pub async fn post(site: impl Into<Site>, token: &str, connection: &str, query: &str) -> Result<u16, Failed> {
    let request = Request::post(format!("/connect/ack?{query}"))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .header("x-connection-id", connection)
        .body(Full::default())?;
    Ok(http::send(site, request).await?.status.as_u16())
}

/// Returns the text of a message on a WebSocket.
pub(super) fn text(told: &FromConnector) -> String {
    told.encode(SystemTime::now())
}
