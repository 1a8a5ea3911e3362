//! From nothing to a session: the connection and the first frames.

use std::time::Duration;

use bytestring::ByteString;
use engine::ledger::Window;
use engine::meter::Counter;
use schemas::wire::frame::Frame;
use tracing::warn;

use crate::transport::websocket::{Link, Turn};
use crate::transport::{ConnectError, Dialer};

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

/// Connects and exchanges the first frames. Cancelling drops the connection.
///
/// # Errors
/// Why there is no session.
pub(crate) async fn greet(
    dialer: &Dialer,
    misunderstood: &mut Misunderstood<'_>,
) -> Result<(Link, Welcome), Gone> {
    let (window, connector) = dialer.introduction();
    let mut link = Link::connect(dialer).await.map_err(|error| match error {
        ConnectError::Token(_) => Gone::Refused(error),
        other => Gone::Lost(other.to_string(), Duration::ZERO),
    })?;
    let welcome = introduce(&mut link, window, connector, misunderstood).await;
    welcome.map(|welcome| (link, welcome)).map_err(|why| Gone::Lost(why, Duration::ZERO))
}

/// Introduces this end and waits for the receiver's first frame.
async fn introduce(
    link: &mut Link,
    window: Window,
    connector: &ByteString,
    misunderstood: &mut Misunderstood<'_>,
) -> Result<Welcome, String> {
    link.start(Frame::Hello { window, connector: connector.clone(), tap: false }.encode());
    let welcome = async {
        loop {
            match link.turn(true).await {
                Turn::Sent | Turn::Alive => {}
                Turn::Received(message) => match Frame::decode(message) {
                    Ok(Frame::Welcome { session, heartbeat, ack_deadline, .. }) => {
                        return Ok(Welcome { session, heartbeat, ack_deadline });
                    }
                    Ok(Frame::Bye(reason)) => return Err(said_bye(&reason)),
                    Ok(_) => misunderstood.note(&"a frame came before the welcome"),
                    Err(error) => misunderstood.note(&error),
                },
                Turn::ReceivedText => misunderstood.note(&"a text instead of a frame"),
                Turn::Ended(why) => return Err(why),
            }
        }
    };
    let timely = tokio::time::timeout(WELCOME, welcome).await;
    timely.unwrap_or_else(|_| Err(format!("the receiver did not say welcome within {} s", WELCOME.as_secs())))
}

/// Puts the receiver's goodbye into words.
pub(crate) fn said_bye(reason: &str) -> String {
    format!("the receiver said goodbye: {reason}")
}
