//! `GET /connect/stream/{channel}/poll`: long poll as a lease.
//!
//! What a poll returned stays with its connector until it is acknowledged or the ACK deadline passes. The window spans the
//! polls of one connector, which is told apart by its `X-Connector-ID`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use engine::clock;
use engine::ledger::Window;
use engine::query;
use engine::supply::Gone;
use engine::tap::{Missed, Tap};
use engine::webhook::Event;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use schemas::wire::compatible;
use schemas::wire::compatible::Gap;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::announced::Announced;
use crate::answer;
use crate::body::{Body, Leased, Reply, whole};
use crate::channel::Channel;
use crate::holder::Holder;
use crate::leaving::Line;
use crate::listener::Shared;
use crate::session::TAP;

/// The name of connectors that give none.
const NAMELESS: &str = "poll_default";

/// How long a poll waits for more once it has one webhook.
const MORE: Duration = Duration::from_millis(5);

/// How often a connector whose window is full is looked at.
const FULL: Duration = Duration::from_millis(20);

/// Bytes of one answer to a tap, about.
const ANSWER_BYTES: usize = 4 << 20;

/// How long a connector that holds nothing is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What a poll asks for.
struct Ask {
    until: Instant,
    max_messages: usize,
}

/// The connectors that poll one channel, by name. The bound of the channel's connections bounds them.
#[derive(Debug, Default)]
pub(crate) struct Pollers(Mutex<BTreeMap<String, Arc<Poller>>>);

/// Where taps that poll stand, by name; each is kept for a while after its last poll.
#[derive(Debug, Default)]
pub(crate) struct Cursors(Mutex<BTreeMap<String, Arc<Cursor>>>);

/// Where one tap stands.
#[derive(Debug)]
struct Cursor {
    tap: tokio::sync::Mutex<Tap>,
    seen: Mutex<Instant>,
}

impl Cursors {
    /// Forgets taps that have not polled for a while.
    pub(crate) fn sweep(&self) {
        self.lock().retain(|_, cursor| Arc::strong_count(cursor) > 1 || cursor.seen().elapsed() < REMEMBERED);
    }

    /// Notes a sign of life of a tap by its connection's name; returns whether there is one.
    pub(crate) fn hear(&self, connection: &str) -> bool {
        let all = self.lock();
        let cursor = connection.strip_prefix(TAP).and_then(|name| all.get(name));
        cursor.is_some_and(|cursor| {
            *cursor.seen() = Instant::now();
            true
        })
    }

    /// Forgets every tap.
    pub(crate) fn release_all(&self) {
        self.lock().clear();
    }

    /// Returns where the tap of this name stands; a new one stands at what comes next. None when there are too many.
    async fn find(&self, name: &str, channel: &Channel) -> Result<Option<Arc<Cursor>>, Gone> {
        self.sweep();
        if let Some(cursor) = self.lock().get(name) {
            *cursor.seen() = Instant::now();
            return Ok(Some(Arc::clone(cursor)));
        }
        let tap = tokio::sync::Mutex::new(channel.supply.tap().await?);
        let mut all = self.lock();
        if all.len() >= channel.limits.max_connections {
            return Ok(None);
        }
        let cursor = Arc::new(Cursor { tap, seen: Mutex::new(Instant::now()) });
        all.insert(name.to_owned(), Arc::clone(&cursor));
        Ok(Some(cursor))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cursor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cursor {
    fn seen(&self) -> MutexGuard<'_, Instant> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connector that polls.
#[derive(Debug)]
struct Poller {
    holder: Arc<Holder>,
    /// Webhooks that polls in progress may still take.
    reserved: Mutex<usize>,
}

impl Pollers {
    /// Ends leases that are older than `most`, and forgets connectors that went away.
    pub(crate) fn sweep(&self, most: Duration) {
        let mut all = self.lock();
        all.values().for_each(|poller| poller.holder.release_older(most));
        all.retain(|_, poller| {
            poller.holder.held().events > 0
                || Arc::strong_count(poller) > 1
                || poller.holder.quiet_for() < REMEMBERED
        });
    }

    /// Ends every lease.
    pub(crate) fn release_all(&self) {
        self.lock().values().for_each(|poller| poller.holder.release_all());
    }

    /// Returns the connector of this name; none when there are too many.
    fn find(&self, name: &str, channel: &Channel) -> Option<Arc<Poller>> {
        self.sweep(channel.limits.ack_timeout());
        let mut all = self.lock();
        if let Some(poller) = all.get(name) {
            poller.holder.hear();
            return Some(Arc::clone(poller));
        }
        if all.len() >= channel.limits.max_connections {
            return None;
        }
        let since = clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let holder = Arc::new(Holder::new(format!("poll_{name}_{since}"), false));
        channel.holders.enter(&holder);
        let poller = Arc::new(Poller { holder, reserved: Mutex::new(0) });
        all.insert(name.to_owned(), Arc::clone(&poller));
        Some(poller)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Poller>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room in a connector's window that one poll may use. Dropping it gives back what was not used.
struct Reserved {
    poller: Arc<Poller>,
    room: Window,
}

impl Poller {
    /// Takes up to `most` of the room in the window; none when there is none.
    fn reserve(self: &Arc<Self>, most: usize, window: Window) -> Option<Reserved> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.holder.held();
        let events = window.events.saturating_sub(held.events + *reserved).min(most);
        let bytes = window.bytes.saturating_sub(held.bytes);
        if events == 0 || (bytes == 0 && held.events > 0) {
            return None;
        }
        *reserved += events;
        Some(Reserved { poller: Arc::clone(self), room: Window { events, bytes } })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut reserved = self.poller.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        *reserved = reserved.saturating_sub(self.room.events);
    }
}

/// Answers a poll: with webhooks, or after its time with nothing.
pub(crate) async fn answer(
    channel: Arc<Channel>,
    announced: Announced,
    text: Option<&str>,
    line: Option<Line>,
    shared: &Arc<Shared>,
) -> Reply {
    let ask = match read(text.unwrap_or_default()) {
        Ok(ask) => ask,
        Err(what) => return whole(answer::detail(StatusCode::UNPROCESSABLE_ENTITY, what)),
    };
    if shared.is_stopping() {
        return whole(answer::closing(answer::busy("the receiver is stopping")));
    }
    let too_many = || whole(answer::busy("Max connections reached"));
    let Some(_permit) = channel.permit(shared) else { return too_many() };
    let name = announced.connector.clone().unwrap_or_else(|| NAMELESS.to_owned());
    if announced.tap {
        return watched(&channel, &name, &ask, &announced, line.as_ref(), shared.stop.clone()).await;
    }
    let Some(poller) = channel.pollers.find(&name, &channel) else { return too_many() };
    let mut stop = channel.stop.clone();
    let taken = tokio::select! {
        biased;
        taken = take(&poller, &ask, &announced, &channel) => taken,
        // What was taken meanwhile returns at once.
        () = left(line.as_ref()) => return whole(answer::empty(StatusCode::NO_CONTENT)),
        _ = stop.wait_for(|stop| *stop) => return whole(answer::empty(StatusCode::NO_CONTENT)),
    };
    match taken {
        Ok(events) if events.is_empty() => whole(answer::empty(StatusCode::NO_CONTENT)),
        Ok(events) => leased(events, &poller.holder, &announced, &channel),
        Err(Gone) => whole(answer::busy("the channel is being opened again")),
    }
}

/// Answers a tap that polls: what was committed since its last poll.
async fn watched(
    channel: &Channel,
    name: &str,
    ask: &Ask,
    announced: &Announced,
    line: Option<&Line>,
    mut stop: watch::Receiver<bool>,
) -> Reply {
    let cursor = match channel.cursors.find(name, channel).await {
        Ok(Some(cursor)) => cursor,
        Ok(None) => return whole(answer::busy("Max connections reached")),
        Err(Gone) => return whole(answer::busy("the channel is being opened again")),
    };
    let mut tap = cursor.tap.lock().await;
    let watched = tokio::select! {
        biased;
        watched = timeout_at(ask.until, tap.next(ask.max_messages, ANSWER_BYTES)) => watched,
        _ = stop.wait_for(|stop| *stop) => return whole(answer::empty(StatusCode::NO_CONTENT)),
        () = left(line) => return whole(answer::empty(StatusCode::NO_CONTENT)),
    };
    let watched = match watched {
        Ok(Some(watched)) => watched,
        Ok(None) => return whole(answer::busy("the channel is being opened again")),
        Err(_) => return whole(answer::empty(StatusCode::NO_CONTENT)),
    };
    let texts: Vec<String> =
        watched.webhooks.iter().map(|webhook| compatible::webhook(webhook, announced.form())).collect();
    let gap = watched.missed.map(|Missed { count, first, last }| Gap { missed: count, first, last });
    let text = compatible::polled(&format!("{TAP}{name}"), &channel.name, clock::now(), &texts, gap);
    whole(answer::json_text(StatusCode::OK, text))
}

async fn left(line: Option<&Line>) {
    match line {
        Some(line) => line.left().await,
        None => std::future::pending().await,
    }
}

fn leased(events: Vec<Event>, holder: &Arc<Holder>, announced: &Announced, channel: &Channel) -> Reply {
    let (mut seqs, mut texts) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    for event in events {
        let (seq, webhook) = holder.hold(event);
        seqs.push(seq);
        texts.push(compatible::webhook(&webhook, announced.form()));
    }
    let text = compatible::polled(&holder.name, &channel.name, clock::now(), &texts, None);
    let mut reply = Response::new(Body::Leased(Leased::new(text, Arc::clone(holder), seqs)));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer::mark(reply)
}

/// Takes webhooks within the connector's window: waits for the first, and hardly for more.
async fn take(
    poller: &Arc<Poller>,
    ask: &Ask,
    announced: &Announced,
    channel: &Channel,
) -> Result<Vec<Event>, Gone> {
    let reserved = loop {
        match poller.reserve(ask.max_messages, announced.window) {
            Some(reserved) => break reserved,
            None if Instant::now() >= ask.until => return Ok(Vec::new()),
            None => tokio::time::sleep(FULL).await,
        }
    };
    let (room, name) = (reserved.room, poller.holder.name.clone());
    let carries = Some(announced.carries(None));
    let mut subscription = channel.supply.attach_limited(name, room, room.events, carries).await?;
    let events = &mut subscription.events;
    let mut taken = Vec::new();
    match timeout_at(ask.until, events.recv()).await {
        Ok(Some(first)) => taken.push(first),
        Ok(None) => return Err(Gone),
        Err(_) => {}
    }
    let more = Instant::now() + MORE;
    while !taken.is_empty() && taken.len() < room.events {
        let Ok(Some(event)) = timeout_at(more, events.recv()).await else { break };
        taken.push(event);
    }
    // What is on its way still belongs to this poll; nothing comes after it.
    events.close();
    while let Some(event) = events.recv().await {
        taken.push(event);
    }
    drop(reserved);
    Ok(taken)
}

fn read(text: &str) -> Result<Ask, &'static str> {
    let (mut seconds, mut max_messages) = (30, 10);
    for (name, value) in query::pairs(text) {
        match name.as_str() {
            "timeout" => {
                let value = value.parse().ok().filter(|seconds| (1..=60).contains(seconds));
                seconds = value.ok_or("`timeout` is a whole number from 1 to 60")?;
            }
            "max_messages" => {
                let value = value.parse().ok().filter(|count| (1..=100).contains(count));
                max_messages = value.ok_or("`max_messages` is a whole number from 1 to 100")?;
            }
            _ => {}
        }
    }
    Ok(Ask { until: Instant::now() + Duration::from_secs(seconds), max_messages })
}
