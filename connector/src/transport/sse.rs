//! Server-sent events: webhooks in by one endless answer.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use futures::FutureExt;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use schemas::wire::compatible::{FromReceiver, LARGEST_TEXT};
use tokio::sync::mpsc;

use super::dial::{ConnectError, Dialer, Http, TIMEOUT, Through};
use super::http::{Found, HttpStream, Leaving};
use super::watch::Signs;

/// The largest event, in bytes: the reference escapes what is not ASCII.
const LARGEST_EVENT: usize = 2 * LARGEST_TEXT;

/// Opens a stream. Cancelling drops the connection.
///
/// # Errors
/// Why none came about.
pub(super) async fn connect(dialer: &Arc<Dialer>) -> Result<HttpStream, ConnectError> {
    let opened = tokio::time::timeout(TIMEOUT, open(dialer)).await;
    let (http, body) = opened.map_err(|_| ConnectError::Timeout)??;
    let signs = Signs::new();
    let heard = signs.clone();
    Ok(HttpStream::new(dialer, signs, Leaving::Pauses, move |found| read(http, body, heard, found).boxed()))
}

async fn open(dialer: &Dialer) -> Result<(Http, Incoming), ConnectError> {
    let mut http = dialer.open(Through::Request).await?;
    let path = format!("{}/sse", dialer.stream_path());
    let mut request = dialer.request(Method::GET, &path, Through::Request);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    request.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let response = dialer.send(&mut http, request).await?;
    if response.status() != StatusCode::OK {
        return Err(dialer.refused(response).await);
    }
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"text/event-stream") {
        return Err(ConnectError::Wrong("it is no stream of events"));
    }
    dialer.note_settlements(&response);
    Ok((http, response.into_body()))
}

/// Reads events until the stream ends or nobody takes them.
async fn read(_http: Http, mut body: Incoming, signs: Signs, found: mpsc::Sender<Vec<Found>>) {
    let mut events = Events::default();
    let why = loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                signs.note();
                events.add(&frame.into_data().unwrap_or_default());
            }
            Some(Err(error)) => break format!("the connection broke: {error}"),
            None => break "the stream ended".to_owned(),
        }
        let mut all = Vec::new();
        while let Some(event) = events.next() {
            all.push(match FromReceiver::decode_event(&event.name, &event.data) {
                Ok(said) => Found::Said(said),
                // An event without a name is one that nobody means.
                Err(_) if event.name.is_empty() => Found::Alive,
                Err(error) => Found::NotUnderstood(error.to_string()),
            });
        }
        // A comment, or a part of an event, is a sign of life too; nobody waits for it.
        let taken = match all.is_empty() {
            true => !found.is_closed(),
            false => found.send(all).await.is_ok(),
        };
        if !taken {
            return;
        }
        if events.len() > LARGEST_EVENT {
            break format!("an event is larger than {LARGEST_EVENT} bytes");
        }
    };
    // Whoever listened may be gone.
    drop(found.send(vec![Found::Ended(why)]).await);
}

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// Cuts a byte stream into events. Lines end with LF or CRLF; fields other than `event` and `data` mean nothing here.
#[derive(Default)]
struct Events {
    bytes: BytesMut,
    /// How many bytes have been searched for the end of a line.
    searched: usize,
    event: Event,
}

impl Events {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns how much of an event is here that has not ended.
    fn len(&self) -> usize {
        self.bytes.len() + self.event.data.len()
    }

    /// Returns the next event that is here whole.
    fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = self.bytes.len();
                return None;
            };
            let line = self.bytes.split_to(end);
            self.bytes.advance(1);
            self.searched = 0;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            self.take(&String::from_utf8_lossy(line));
        }
    }

    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str, piece: usize) -> Vec<(String, String)> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            events.add(piece);
            while let Some(Event { name, data }) = events.next() {
                found.push((name, data));
            }
        }
        found
    }

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        let text = ": hello\n\nevent: webhook\r\ndata: {\"a\":\r\ndata:  \"ü\"}\r\nid: 7\r\n\r\ndata: x\n\nevent: cut\n";
        let wanted = [("webhook", "{\"a\":\n \"ü\"}"), ("", "x")];
        let wanted = wanted.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(events(text, piece), wanted);
        }
    }
}
