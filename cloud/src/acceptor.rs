//! Where connections come from: TCP, or anything else that carries bytes both ways.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tracing::debug;

use crate::held::Held;
use crate::{leaving, linger};

/// Brings connections.
pub trait Acceptor: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. Cancelling loses none.
    ///
    /// # Errors
    /// One could not be accepted; the next may be.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The bytes, both ways.
    pub stream: S,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// A second hold on the same connection.
    pub hold: Arc<dyn Hold>,
}

/// A second hold on a connection, beside whoever reads and writes it. It keeps the connection open.
pub trait Hold: fmt::Debug + Send + Sync {
    /// Waits until the peer has closed its sending side. Cancelling loses nothing.
    fn left(&self) -> BoxFuture<'_, ()>;

    /// Ends the connection, whatever is still to be written.
    fn cut(&self);

    /// Reads what the peer still sends and throws it away, until it closes, within bounds.
    fn drain(&self) -> BoxFuture<'_, ()>;
}

impl Acceptor for TcpListener {
    type Stream = Held;

    async fn accept(&self) -> io::Result<Accepted<Held>> {
        let (stream, peer) = Self::accept(self).await?;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "small packets may be delayed");
        }
        let stream = Held::new(stream);
        Ok(Accepted { hold: Arc::new(stream.clone()), stream, peer })
    }
}

impl Hold for Held {
    fn left(&self) -> BoxFuture<'_, ()> {
        leaving::left(self).boxed()
    }

    fn cut(&self) {
        // One that has ended already cannot be ended.
        drop(self.shut(Shutdown::Both));
    }

    fn drain(&self) -> BoxFuture<'_, ()> {
        linger::finish(self.clone()).boxed()
    }
}
