//! Noticing that a peer left while it is being answered.
//!
//! The server beneath lets a peer close its sending side and still answers it, as senders of webhooks need. For a stream
//! the same means that the connector has left, so streams look at the connection themselves.

use std::sync::Arc;
use std::time::Duration;

use crate::acceptor::Hold;
use crate::held::Held;

/// How often is looked behind bytes that nobody reads.
const LOOK: Duration = Duration::from_millis(200);

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<dyn Hold>);

impl Line {
    pub(crate) fn new(hold: Arc<dyn Hold>) -> Self {
        Self(hold)
    }

    /// Waits until the peer has closed its sending side. Cancelling loses nothing.
    pub(crate) async fn left(&self) {
        self.0.left().await;
    }

    /// Ends the connection, whatever is still to be written.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }
}

/// Waits until the peer of a TCP connection has closed its sending side. Cancelling loses nothing.
pub(crate) async fn left(stream: &Held) {
    while stream.has_left().await.is_ok_and(|has_left| !has_left) {
        tokio::time::sleep(LOOK).await;
    }
}
