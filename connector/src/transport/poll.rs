//! Long polling: webhooks in by one answer after the other.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use futures::FutureExt;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use schemas::wire::compatible::{FromReceiver, Polled};
use tokio::sync::mpsc;

use super::dial::{ConnectError, Dialer, Http, TIMEOUT, Through};
use super::http::{Found, HttpStream, Leaving};
use super::watch::Signs;

/// How long the receiver may wait for a webhook. Below the interval of signs of life that is expected.
const WAIT: Duration = Duration::from_secs(20);

/// How long the first poll of a tap waits.
const FIRST: Duration = Duration::from_secs(1);

/// How much later than that an answer may come.
const LATER: Duration = Duration::from_secs(15);

/// The most webhooks of one answer.
const MOST: usize = 100;

/// The largest answer, in bytes. One webhook always fits; the receiver keeps several below it by the window.
const LARGEST_ANSWER: usize = 256 << 20;

/// Begins to poll. Cancelling drops the connection.
///
/// # Errors
/// Why that does not work.
pub(super) async fn connect(dialer: &Arc<Dialer>) -> Result<HttpStream, ConnectError> {
    let opened = tokio::time::timeout(TIMEOUT, open(dialer)).await;
    let http = opened.map_err(|_| ConnectError::Timeout)??;
    let signs = Signs::new();
    let (own, heard) = (Arc::clone(dialer), signs.clone());
    Ok(HttpStream::new(dialer, signs, Leaving::Ends, move |found| read(own, http, heard, found).boxed()))
}

/// Asks for the status first: the reference's long polling redelivers for ever, so only receivers that say that they know
/// our additions are polled.
async fn open(dialer: &Dialer) -> Result<Http, ConnectError> {
    let mut http = dialer.open(Through::Request).await?;
    let wrong = "long polling works only with receivers that send webhook-connect-version";
    dialer.insist_on_version(&mut http, wrong).await?;
    Ok(http)
}

/// Polls until something breaks or nobody takes what is found.
async fn read(dialer: Arc<Dialer>, mut http: Http, signs: Signs, found: mpsc::Sender<Vec<Found>>) {
    let connection = ByteString::from_static("poll");
    let mut connected = Some(FromReceiver::Connected { connection, channel: dialer.channel().clone() });
    // The receiver knows a tap once it has polled, so a tap is connected after its first poll.
    let mut wait = if dialer.is_tap() { FIRST } else { WAIT };
    if !dialer.is_tap() && !say(connected.take(), Vec::new(), &found).await {
        return;
    }
    let why = loop {
        let polled = tokio::time::timeout(wait + LATER, poll(&dialer, &mut http, &signs, wait)).await;
        wait = WAIT;
        let all = match polled {
            Ok(Ok(all)) => all,
            Ok(Err(why)) => break why,
            Err(_) => break "a poll was not answered in time".to_owned(),
        };
        signs.note();
        if !say(connected.take(), all, &found).await {
            return;
        }
    };
    // Whoever listened may be gone.
    drop(found.send(vec![Found::Ended(why)]).await);
}

/// Hands on what was found, after what opens a session where that is still to be said. Returns false when nobody takes it.
async fn say(connected: Option<FromReceiver>, all: Vec<Found>, found: &mpsc::Sender<Vec<Found>>) -> bool {
    let all: Vec<Found> = connected.map(Found::Said).into_iter().chain(all).collect();
    found.send(all).await.is_ok()
}

async fn poll(dialer: &Dialer, http: &mut Http, signs: &Signs, wait: Duration) -> Result<Vec<Found>, String> {
    let (window, _) = dialer.introduction();
    let most = window.events.clamp(1, MOST);
    let path = format!("{}/poll?timeout={}&max_messages={most}", dialer.stream_path(), wait.as_secs());
    let request = dialer.request(Method::GET, &path, Through::Request);
    let response = dialer.send(http, request).await.map_err(|error| error.to_string())?;
    dialer.note_settlements(&response);
    match response.status() {
        StatusCode::NO_CONTENT => return Ok(vec![Found::Alive]),
        StatusCode::OK => {}
        _ => return Err(dialer.refused(response).await.to_string()),
    }
    let mut body = Limited::new(response.into_body(), LARGEST_ANSWER);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        signs.note();
        whole.extend(frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default());
    }
    let read = std::str::from_utf8(&whole).map_err(|error| error.to_string());
    let (polled, left_out) =
        match read.and_then(|text| Polled::decode(text).map_err(|error| error.to_string())) {
            Ok(read) => read,
            Err(error) => return Ok(vec![Found::NotUnderstood(error)]),
        };
    let connected =
        FromReceiver::Connected { connection: polled.connection, channel: dialer.channel().clone() };
    let mut all = vec![Found::Said(connected)];
    all.extend(polled.gap.map(|gap| Found::Said(FromReceiver::Gap(gap))));
    all.extend(polled.webhooks.into_iter().map(|one| Found::Said(FromReceiver::Webhook(Box::new(one)))));
    all.extend((0..left_out).map(|_| Found::NotUnderstood("a webhook in the answer to a poll".to_owned())));
    Ok(all)
}
