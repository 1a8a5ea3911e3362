//! A proxy that passes bytes on, falls silent, or stands in the way of streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::case::Failed;

/// The largest head of a request that is looked at, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// What an upgrade is answered.
const REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\nconnection: close\r\n\r\nblocked";

/// What the proxy does with the connections through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes nothing on any more and closes nothing: a link that went silent.
    Stall,
    /// Passes nothing on and closes everything, old and new.
    Closed,
    /// Refuses upgrades to WebSocket, as a firewall does.
    NoWebSocket,
    /// Refuses upgrades, and keeps back the answers that are streams of events.
    NoStreams,
}

/// A running proxy. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<AtomicUsize>,
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
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(pass(stream, target, modes.clone()));
            }
        });
        Ok(Self { address, mode, connections, server })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Changes what it does with connections. Open ones stall, or are cut when something stands in the way from now on. A
    /// connection that stalled stays so.
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
    let now = *mode.borrow_and_update();
    if now == Mode::Closed {
        return;
    }
    let mut head = Vec::new();
    if matches!(now, Mode::NoWebSocket | Mode::NoStreams) {
        head = read_head(&mut near).await;
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if text.contains("upgrade: websocket") {
            // Whether the other end still wants to know is its own business.
            drop(near.write_all(REFUSED).await);
            return;
        }
        if now == Mode::NoStreams && text.lines().next().is_some_and(|line| line.contains("/sse")) {
            // Held until the other end gives up.
            drop(near.read_u8().await);
            return;
        }
    }
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    if far.write_all(&head).await.is_err() {
        return;
    }
    let stalled = {
        let changed = mode.wait_for(|mode| *mode != now && *mode != Mode::Pass);
        tokio::select! {
            // Whichever end breaks, the connection is over.
            _ = copy_bidirectional(&mut near, &mut far) => false,
            changed = changed => changed.is_ok_and(|mode| *mode == Mode::Stall),
        }
    };
    if stalled {
        // Holds both ends open, until the proxy is dropped, and reads nothing.
        std::future::pending::<()>().await;
    }
}

/// Reads the head of the first request, or what comes of it.
async fn read_head(near: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LARGEST_HEAD {
        match near.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head
}
