//! From nothing to a session: the connection and the first frames.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use engine::meter::Counter;
use schemas::wire::frame::Frame;
use tracing::warn;

use crate::transport::{ConnectError, Dialer, Link, Transport, Turn};

/// How long the receiver may take for its first frame.
const WELCOME: Duration = Duration::from_secs(10);

/// What the receiver said at the start.
#[derive(Clone, Debug)]
pub(crate) struct Welcome {
    /// Names the session in logs.
    pub(crate) session: ByteString,
    /// How often each end sends at least something.
    pub(crate) heartbeat: Duration,
    /// How long a webhook may be in flight without a sign of progress.
    pub(crate) ack_deadline: Duration,
}

/// Why there is no connection.
pub(crate) enum Gone {
    /// None came about, or it is over.
    Lost(String, Duration),
    /// The token was refused.
    Refused(ConnectError),
    /// The machine slept.
    Slept,
}

/// Counts what is not understood, and logs it once.
pub(crate) struct Misunderstood<'a> {
    channel: &'a str,
    counter: &'a Counter,
    logged: bool,
}

impl<'a> Misunderstood<'a> {
    pub(crate) fn new(channel: &'a str, counter: &'a Counter) -> Self {
        Self { channel, counter, logged: false }
    }

    pub(crate) fn note(&mut self, error: &dyn std::fmt::Display) {
        self.counter.add(1);
        if !std::mem::replace(&mut self.logged, true) {
            let channel = self.channel;
            warn!(channel, %error, "ignored a message that is not understood; further ones are only counted");
        }
    }
}

/// An open session.
pub(crate) struct Greeted {
    pub(crate) link: Link,
    pub(crate) transport: Transport,
    pub(crate) welcome: Welcome,
    /// What came before the welcome.
    pub(crate) early: Option<Frame>,
}

/// Connects by `transport` and exchanges the first frames. Cancelling drops the connection.
///
/// # Errors
/// Why there is no session.
pub(crate) async fn greet(
    dialer: &Arc<Dialer>,
    transport: Transport,
    misunderstood: &mut Misunderstood<'_>,
) -> Result<Greeted, ConnectError> {
    let mut link = Link::connect(dialer, transport).await?;
    let (window, connector) = dialer.introduction();
    link.start(&Frame::Hello { window, connector: connector.clone(), tap: dialer.is_tap() });
    let timely = tokio::time::timeout(WELCOME, welcome(&mut link, misunderstood)).await;
    let (welcome, early) = timely.map_err(|_| {
        ConnectError::Silent(format!("the receiver did not say welcome within {} s", WELCOME.as_secs()))
    })??;
    Ok(Greeted { link, transport, welcome, early })
}

/// Waits for the receiver's first frame. A receiver of the reference kind may send a webhook first.
async fn welcome(
    link: &mut Link,
    misunderstood: &mut Misunderstood<'_>,
) -> Result<(Welcome, Option<Frame>), ConnectError> {
    loop {
        match link.turn(true).await {
            Turn::Sent | Turn::Alive => {}
            Turn::Received(Frame::Welcome { session, heartbeat, ack_deadline, .. }) => {
                return Ok((Welcome { session, heartbeat, ack_deadline }, None));
            }
            Turn::Received(Frame::Bye(reason)) => return Err(ConnectError::Left(said_bye(&reason))),
            Turn::Received(early @ Frame::Deliver(_)) if !link.is_native() => {
                let (heartbeat, ack_deadline) = (link.heartbeat().unwrap_or(WELCOME), 3 * WELCOME);
                let session = "(unknown)".into();
                return Ok((Welcome { session, heartbeat, ack_deadline }, Some(early)));
            }
            Turn::Received(Frame::Ping(_)) if !link.is_native() => {}
            Turn::Received(_) => misunderstood.note(&"a frame came before the welcome"),
            Turn::NotUnderstood(error) => misunderstood.note(&error),
            Turn::Closed(why) => return Err(ConnectError::Left(why)),
            Turn::Ended(why) => return Err(ConnectError::Silent(why)),
        }
    }
}

/// Puts the receiver's goodbye into words.
pub(crate) fn said_bye(reason: &str) -> String {
    format!("the receiver said goodbye: {reason}")
}
