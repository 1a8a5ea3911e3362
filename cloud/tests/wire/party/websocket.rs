//! WebSocket by hand (RFC 6455), as the reference's connector speaks it.

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::http;
use super::receiver::Receiver;

/// The example of the RFC, and what must be answered.
const KEY: [&str; 2] = ["dGhlIHNhbXBsZSBub25jZQ==", "s3pplmbitxaq9kygzzhzrbk+xoo="];

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The first byte: whether it is whole, and what it is.
    pub(crate) first: u8,
    pub(crate) bytes: Vec<u8>,
}

/// A connection.
pub(crate) struct Socket {
    stream: TcpStream,
    /// The head of the answer, in lower case.
    pub(crate) head: String,
    read: Vec<u8>,
}

impl Socket {
    /// Connects with these lines beside those of every upgrade.
    pub(crate) async fn open(receiver: &Receiver, path: &str, lines: &[&str]) -> Self {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        let key = format!("Sec-WebSocket-Key: {}", KEY[0]);
        let upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", &key];
        let request = http::request(&format!("GET {path}"), &[&upgrade[..], lines].concat());
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, read) = http::head(&mut stream).await;
        if head.starts_with("http/1.1 101") {
            assert!(head.contains(&format!("sec-websocket-accept: {}\r\n", KEY[1])), "{head}");
        }
        Self { stream, head, read }
    }

    /// Returns the status of the answer.
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// Waits for the next message.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            if let Some(message) = self.taken() {
                return message;
            }
            assert!(http::read(&mut self.stream, &mut self.read).await > 0, "the connection ended");
        }
    }

    /// Waits for the next text.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.message().await;
        assert_eq!(message.first, 0x81, "a whole text");
        String::from_utf8(message.bytes).unwrap()
    }

    /// Waits for the next text that is no heartbeat.
    pub(crate) async fn news(&mut self) -> String {
        loop {
            let text = self.text().await;
            let json: Value = serde_json::from_str(&text).unwrap();
            if json["type"] != "heartbeat" {
                return text;
            }
        }
    }

    /// Sends a text of at most 125 bytes, masked with nothing.
    pub(crate) async fn says(&mut self, text: &str) {
        let length = u8::try_from(text.len()).ok().filter(|length| *length <= 125).unwrap();
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Returns whether the receiver has ended the connection, having sent nothing more.
    pub(crate) async fn ends(&mut self) -> bool {
        self.read.is_empty() && http::read(&mut self.stream, &mut self.read).await == 0
    }

    /// Takes the first message of what was read; none when it is not here whole.
    fn taken(&mut self) -> Option<Message> {
        let [first, second, rest @ ..] = &*self.read else { return None };
        assert_eq!(second & 0x80, 0, "receivers mask nothing");
        let (length, rest) = match second {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*length)).unwrap(), rest)
            }
            short => (usize::from(*short), rest),
        };
        let message = Message { first: *first, bytes: rest.get(..length)?.to_vec() };
        self.read = rest[length..].to_vec();
        Some(message)
    }
}
