//! How sessions take webhooks from a buffer.
//!
//! A buffer holds a [`Demand`] and answers what arrives there; everybody else holds a [`Supply`]. A session attaches
//! with its window and gets a [`Subscription`]: webhooks arrive there as long as fewer are unsettled than the window
//! allows. Dropping the subscription and the acks returns everything to the channel at once.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot, watch};

use crate::ack::Outcome;
use crate::ledger::Window;
use crate::store::{Parked, Stats, StoreError};
use crate::tap::{self, Feed, Tap};
use crate::webhook::{Event, Id, Webhook};

/// Requests that may wait for a busy buffer. Each asker waits for its answer, so sessions and admin calls bound it too.
const REQUESTS: usize = 256;

/// Tells which webhooks a session can carry. Cloning shares it.
#[derive(Clone)]
pub struct Carries(Arc<Judge>);

/// Says whether a webhook can be carried.
type Judge = dyn Fn(&Webhook) -> Result<(), Unfit> + Send + Sync;

/// Why a session cannot carry a webhook: the limit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub Cow<'static, str>);

impl Carries {
    /// Asks `judge` about each webhook before it is handed out.
    pub fn new(judge: impl Fn(&Webhook) -> Result<(), Unfit> + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    /// Tells whether the session can carry `webhook`.
    ///
    /// # Errors
    /// It cannot, and which limit is in the way.
    pub fn judge(&self, webhook: &Webhook) -> Result<(), Unfit> {
        (self.0)(webhook)
    }
}

impl fmt::Debug for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carries")
    }
}

/// Where webhooks of one channel are to be had. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Supply(mpsc::Sender<Request>);

/// What a buffer is asked for.
#[derive(Debug)]
pub struct Demand(mpsc::Receiver<Request>);

/// One thing a buffer is asked for.
#[derive(Debug)]
pub enum Request {
    /// A session wants webhooks.
    Attach {
        /// Names the session in logs.
        session: String,
        /// The session's window, which may change; the channel's own bounds it.
        window: watch::Receiver<Window>,
        /// Where the webhooks go.
        events: mpsc::Sender<Event>,
        /// What the session can carry; none means every webhook.
        carries: Option<Carries>,
    },
    /// A webhook was settled by its id, by somebody who may not hold its ack.
    Settle {
        /// Which webhook.
        id: Id,
        /// What became of it.
        outcome: Outcome,
        /// Told whether the channel knew the webhook as delivered at least once and not settled yet.
        known: oneshot::Sender<bool>,
    },
    /// Somebody watches, from now on.
    Tap(Feed),
    /// Somebody wants the figures.
    Figures(oneshot::Sender<Figures>),
    /// Somebody wants to see the dead letters.
    Parked {
        /// Those with a sequence above this.
        after: u64,
        /// At most as many.
        max: usize,
        /// Told what there is.
        found: oneshot::Sender<Result<Vec<Parked>, StoreError>>,
    },
}

/// The figures of a channel, of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What the store counts.
    pub stats: Stats,
    /// Handed to a session and not settled; part of `stats.live`.
    pub in_flight: u64,
    /// Sessions attached.
    pub sessions: u64,
    /// When the oldest webhook that is still queued or in flight arrived, as far as known.
    pub oldest: Option<SystemTime>,
    /// True while new webhooks cannot be stored.
    pub failing: bool,
}

/// Webhooks for one session. Dropping it ends the session's claim.
#[derive(Debug)]
pub struct Subscription {
    /// Webhooks, each with its ack.
    pub events: mpsc::Receiver<Event>,
    window: watch::Sender<Window>,
}

/// The buffer has ended.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the buffer has ended")]
pub struct Gone;

/// Makes both ends.
#[must_use]
pub fn supply() -> (Supply, Demand) {
    let (asks, requests) = mpsc::channel(REQUESTS);
    (Supply(asks), Demand(requests))
}

impl Demand {
    /// Waits for the next request; none when nobody can ask any more. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Request> {
        self.0.recv().await
    }
}

impl Supply {
    /// Attaches a session. `most` is the largest window it may ever have, which bounds what waits in between.
    ///
    /// # Errors
    /// The buffer has ended.
    pub async fn attach(&self, session: String, window: Window, most: usize) -> Result<Subscription, Gone> {
        self.attach_limited(session, window, most, None).await
    }

    /// Attaches a session that may not be able to carry every webhook.
    ///
    /// # Errors
    /// The buffer has ended.
    pub async fn attach_limited(
        &self,
        session: String,
        window: Window,
        most: usize,
        carries: Option<Carries>,
    ) -> Result<Subscription, Gone> {
        let (sender, events) = mpsc::channel(most.max(1));
        let (changes, window) = watch::channel(window);
        self.ask(Request::Attach { session, window, events: sender, carries }).await?;
        Ok(Subscription { events, window: changes })
    }

    /// Watches the channel from now on. What the tap does counts for no webhook.
    ///
    /// # Errors
    /// The buffer has ended.
    pub async fn tap(&self) -> Result<Tap, Gone> {
        let (feed, tap) = tap::tap();
        self.ask(Request::Tap(feed)).await?;
        Ok(tap)
    }

    /// Settles a webhook by its id and returns whether the channel knew it.
    ///
    /// # Errors
    /// The buffer has ended.
    pub async fn settle(&self, id: Id, outcome: Outcome) -> Result<bool, Gone> {
        let (known, answer) = oneshot::channel();
        self.ask(Request::Settle { id, outcome, known }).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Returns the figures of this moment.
    ///
    /// # Errors
    /// The buffer has ended.
    pub async fn figures(&self) -> Result<Figures, Gone> {
        let (figures, answer) = oneshot::channel();
        self.ask(Request::Figures(figures)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Returns up to `max` dead letters with a sequence above `after`, oldest first.
    ///
    /// # Errors
    /// The buffer has ended, which reads as a closed store, or the store cannot be read.
    pub async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        let (found, answer) = oneshot::channel();
        self.ask(Request::Parked { after, max, found }).await.map_err(|Gone| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn ask(&self, request: Request) -> Result<(), Gone> {
        self.0.send(request).await.map_err(|_| Gone)
    }
}

impl Subscription {
    /// Changes the session's window. 0 events: nothing more comes, what is out may still be settled.
    pub fn set_window(&self, window: Window) {
        self.window.send_replace(window);
    }
}
