//! A TCP proxy that passes bytes on, falls silent, or cuts.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::case::Failed;

/// What the proxy does with the connections through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes nothing on any more and closes nothing: a link that went silent.
    Stall,
}

/// A running proxy. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy before `target`.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start(target: SocketAddr) -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, target, modes.clone()));
            }
        });
        Ok(Self { address, mode, server })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does with connections, also with those that are open. A connection that stalled stays so.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(mut near: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let stalled = {
        let stall = mode.wait_for(|mode| *mode == Mode::Stall);
        tokio::select! {
            // Whichever end breaks, the connection is over.
            _ = copy_bidirectional(&mut near, &mut far) => false,
            stall = stall => stall.is_ok(),
        }
    };
    if stalled {
        // Holds both ends open, until the proxy is dropped, and reads nothing.
        std::future::pending::<()>().await;
    }
}
