//! HTTP by hand.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the status and the text of `detail`.
    pub(crate) fn detail(&self) -> (u16, String) {
        (self.status, self.json()["detail"].as_str().unwrap_or_default().to_owned())
    }
}

/// Writes a request without a body.
pub(crate) fn request(request: &str, lines: &[&str]) -> String {
    format!("{request} HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n", lines.join("\r\n"))
}

/// Sends a request on a connection of its own and returns the answer, whose length its head must say.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let (head, mut rest) = head(&mut stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    while rest.len() < length {
        assert!(read(&mut stream, &mut rest).await > 0, "the connection ended within {head}");
    }
    let status = head[9..12].parse().unwrap();
    Answer { status, head, text: String::from_utf8(rest).unwrap() }
}

/// Reads up to the end of a head; returns it in lower case, and what came after it.
pub(crate) async fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return (String::from_utf8(bytes).unwrap().to_lowercase(), rest);
        }
        assert!(read(stream, &mut bytes).await > 0, "the connection ended before the head did");
    }
}

/// Reads some more; 0 at the end.
pub(crate) async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> usize {
    tokio::time::timeout(SOON, stream.read_buf(bytes)).await.expect("nothing comes any more").unwrap()
}
