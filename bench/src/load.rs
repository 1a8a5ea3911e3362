//! A load of identical signed webhooks over keep-alive connections, with as little work per request as possible, so that
//! what is measured is the server.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The longest answer that is understood, in bytes.
const ANSWER: usize = 4_096;

/// What a load reached.
pub(crate) struct Load {
    /// Requests answered 200.
    pub(crate) answered: u64,
    /// Requests answered otherwise.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How long each answered request took, in microseconds, sorted.
    pub(crate) micros: Vec<u32>,
}

impl Load {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency that this share of the requests stayed under, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.micros.get(at).map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
    }
}

/// When a load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After as many requests in all.
    Sent(u64),
}

/// Returns a POST of a JSON body of `size` bytes, signed as GitHub signs.
pub(crate) fn signed_post(path: &str, size: usize, secret: &str) -> Result<Bytes, String> {
    let body = format!("{{\"filler\":\"{}\"}}", "x".repeat(size.saturating_sub(13)));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    Ok(Bytes::from(format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )))
}

/// Sends `request` over `connections` connections, one at a time on each.
///
/// # Errors
/// A connection failed.
pub(crate) async fn load(
    address: SocketAddr,
    request: Bytes,
    connections: u64,
    until: Until,
) -> io::Result<Load> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for nth in 0..connections {
        let share = match until {
            Until::Elapsed(_) => u64::MAX,
            Until::Sent(all) => all / connections + u64::from(nth < all % connections),
        };
        let end = match until {
            Until::Elapsed(time) => Some(began + time),
            Until::Sent(_) => None,
        };
        tasks.spawn(one_connection(address, request.clone(), share, end));
    }
    let mut load = Load { answered: 0, refused: 0, elapsed: Duration::ZERO, micros: Vec::new() };
    while let Some(done) = tasks.join_next().await {
        let (micros, refused) = done.map_err(io::Error::other)??;
        load.answered += micros.len() as u64;
        load.refused += refused;
        load.micros.extend(micros);
    }
    load.elapsed = began.elapsed();
    load.micros.sort_unstable();
    Ok(load)
}

async fn one_connection(
    address: SocketAddr,
    request: Bytes,
    share: u64,
    end: Option<Instant>,
) -> io::Result<(Vec<u32>, u64)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut micros, mut refused, mut buffer) = (Vec::new(), 0, [0; ANSWER]);
    for _ in 0..share {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let began = Instant::now();
        stream.write_all(&request).await?;
        if read_answer(&mut stream, &mut buffer).await? {
            micros.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        } else {
            refused += 1;
        }
    }
    Ok((micros, refused))
}

/// Reads one answer and returns whether it is a 200.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8; ANSWER]) -> io::Result<bool> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::Error::other("the server closed the connection, or its answer is too long"));
        }
        filled += read;
        if let Some(whole) = answer_length(&buffer[..filled])
            && filled >= whole
        {
            return Ok(buffer.starts_with(b"HTTP/1.1 200"));
        }
    }
}

/// Returns how long the answer is, once its head is here.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head + 4 + length.unwrap_or(0))
}
