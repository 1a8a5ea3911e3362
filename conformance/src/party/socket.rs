//! A WebSocket that writes whatever bytes a case wants.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engine::ledger::Window;
use schemas::wire::SUBPROTOCOL;
use schemas::wire::frame::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::case::{Failed, ensure};
use crate::party::receiver::{CHANNEL, TOKEN};

/// How long the receiver may take to answer, or to hang up.
const MOST: Duration = Duration::from_secs(10);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Binary frames.
    Native,
    /// JSON texts.
    Compatible,
}

/// What a frame claims.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The length, when it is not that of the payload.
    pub length: Option<u64>,
    /// Whether it is masked, as every frame of a connector must be.
    pub is_masked: bool,
}

/// A connection to the suite's channel that speaks WebSocket as far as it is told to. It keeps nothing in memory.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// Switches a new connection to the WebSocket protocol.
    ///
    /// # Errors
    /// It is refused.
    pub async fn open(address: SocketAddr, dialect: Dialect) -> Result<Self, Failed> {
        let mut stream = TcpStream::connect(address).await?;
        let offered = match dialect {
            Dialect::Native => format!("sec-websocket-protocol: {SUBPROTOCOL}\r\n"),
            Dialect::Compatible => String::new(),
        };
        let head = format!(
            "GET /connect/stream/{CHANNEL} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offered}\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            said.push(tokio::time::timeout(MOST, stream.read_u8()).await??);
        }
        ensure(said.starts_with(b"HTTP/1.1 101 "), || {
            format!("101, found {}", String::from_utf8_lossy(&said))
        })?;
        Ok(Self(stream))
    }

    /// Opens a session of the channel.
    ///
    /// # Errors
    /// It is refused.
    pub async fn session(address: SocketAddr, dialect: Dialect) -> Result<Self, Failed> {
        match dialect {
            Dialect::Native => Self::windowed(address, Window { events: 10, bytes: 1 << 20 }).await,
            Dialect::Compatible => Self::open(address, dialect).await,
        }
    }

    /// Opens a native session that declares `window`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn windowed(address: SocketAddr, window: Window) -> Result<Self, Failed> {
        let mut socket = Self::open(address, Dialect::Native).await?;
        socket.frame(Frame::Hello { window, connector: "hostile".into(), tap: false }).await?;
        ensure(matches!(socket.hear().await?, Frame::Welcome { .. }), || "a welcome".to_owned())?;
        Ok(socket)
    }

    /// Sends bytes as they are. The receiver may have hung up.
    ///
    /// # Errors
    /// The receiver hung up, or does not read.
    pub async fn raw(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        Ok(tokio::time::timeout(MOST, self.0.write_all(bytes)).await??)
    }

    /// Sends a WebSocket frame, with a mask of zeros.
    ///
    /// # Errors
    /// The receiver hung up, or does not read.
    pub async fn send(&mut self, claim: Claim, payload: &[u8]) -> Result<(), Failed> {
        let length = claim.length.unwrap_or(payload.len() as u64);
        let mask = u8::from(claim.is_masked) << 7;
        let mut bytes = vec![claim.first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(mask | short),
            (_, Ok(middle)) => {
                bytes.push(mask | 126);
                bytes.extend(middle.to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        if claim.is_masked {
            bytes.extend([0; 4]);
        }
        bytes.extend(payload);
        self.raw(&bytes).await
    }

    /// Sends a whole masked message.
    ///
    /// # Errors
    /// The receiver hung up, or does not read.
    pub async fn message(&mut self, first: u8, payload: &[u8]) -> Result<(), Failed> {
        self.send(Claim { first, length: None, is_masked: true }, payload).await
    }

    /// Sends a frame of the native dialect.
    ///
    /// # Errors
    /// The receiver hung up, or does not read.
    pub async fn frame(&mut self, frame: Frame) -> Result<(), Failed> {
        self.message(0x82, &frame.encode()).await
    }

    /// Waits for the next frame of the native dialect.
    ///
    /// # Errors
    /// None comes in time, or something else does.
    pub async fn hear(&mut self) -> Result<Frame, Failed> {
        let read = async {
            let (first, length) = (self.0.read_u8().await?, self.0.read_u8().await?);
            let length = match length {
                127 => self.0.read_u64().await?,
                126 => u64::from(self.0.read_u16().await?),
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
            self.0.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>((first, payload))
        };
        let (first, payload) = tokio::time::timeout(MOST, read).await??;
        ensure(first == 0x82, || format!("a binary message, found {first:#x}"))?;
        Ok(Frame::decode(Bytes::from(payload))?)
    }

    /// Reads to the end that the receiver makes; returns how many bytes came.
    ///
    /// # Errors
    /// It does not hang up in time.
    pub async fn ended(&mut self) -> Result<usize, Failed> {
        let (mut piece, mut read) = (vec![0; 1 << 16], 0);
        let end = tokio::time::Instant::now() + MOST;
        loop {
            match tokio::time::timeout_at(end, self.0.read(&mut piece)).await {
                Ok(Ok(0) | Err(_)) => return Ok(read),
                Ok(Ok(more)) => read += more,
                Err(_) => return Err(Failed(format!("the receiver hangs up within {MOST:?}"))),
            }
        }
    }
}
