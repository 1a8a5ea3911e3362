//! Noticing that a peer left while it is being answered.
//!
//! The server beneath lets a peer close its sending side and still answers it, as senders of webhooks need. For a stream
//! the same means that the connector has left, so streams look at the connection themselves.

use std::net::Shutdown;
use std::time::Duration;

use crate::held::Held;

/// How often is looked behind bytes that nobody reads.
const LOOK: Duration = Duration::from_millis(200);

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub(crate) struct Line(Held);

impl Line {
    pub(crate) fn new(stream: Held) -> Self {
        Self(stream)
    }

    /// Waits until the peer has closed its sending side. Cancelling loses nothing.
    pub(crate) async fn left(&self) {
        while self.0.has_left().await.is_ok_and(|has_left| !has_left) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the connection, whatever is still to be written.
    pub(crate) fn cut(&self) {
        // One that has ended already cannot be ended.
        drop(self.0.shut(Shutdown::Both));
    }
}
