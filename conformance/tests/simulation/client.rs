//! Senders and operators: just enough HTTP/1.1 to post and to ask.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::network::{Network, Party};
use crate::scenario::ADMIN;
use crate::wire::End;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(8);

/// One party with a connection that it uses again when it can.
pub(crate) struct Client {
    network: Arc<Network>,
    party: Party,
    kept: Option<End>,
}

impl Client {
    pub(crate) fn new(network: &Arc<Network>, party: Party) -> Self {
        Self { network: Arc::clone(network), party, kept: None }
    }

    /// Posts a webhook and returns the status; none when no answer came.
    pub(crate) async fn post(&mut self, channel: &str, body: &[u8]) -> Option<u16> {
        let head = format!(
            "POST /webhook/{channel} HTTP/1.1\r\nhost: receiver\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Some(self.ask(&[head.as_bytes(), body].concat()).await?.0)
    }

    /// Asks for the figures of a channel; none when no answer came, or another one.
    pub(crate) async fn stats(&mut self, channel: &str) -> Option<Value> {
        let request = format!(
            "GET /admin/webhook-connect/channels/{channel}/stats HTTP/1.1\r\nhost: receiver\r\n\
             authorization: Bearer {ADMIN}\r\n\r\n"
        );
        let (status, body) = self.ask(request.as_bytes()).await?;
        (status == 200).then(|| serde_json::from_str(&String::from_utf8_lossy(&body)).ok())?
    }

    async fn ask(&mut self, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut end = match self.kept.take() {
            Some(end) => end,
            None => self.network.dial(self.party).await.ok()?,
        };
        let asked = tokio::time::timeout(PATIENCE, exchange(&mut end, request)).await;
        let (status, body, closes) = asked.ok()??;
        self.kept = (!closes).then_some(end);
        Some((status, body))
    }
}

async fn exchange(end: &mut End, request: &[u8]) -> Option<(u16, Vec<u8>, bool)> {
    end.write_all(request).await.ok()?;
    let mut read = Vec::new();
    loop {
        if end.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..at]).to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let length: usize = header("content-length")?.parse().ok()?;
        if read.len() >= at + 4 + length {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            return Some((status, read[at + 4..].to_vec(), header("connection") == Some("close")));
        }
    }
}
