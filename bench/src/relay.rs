//! From sender to destination by every transport, against ingest alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use conformance::case::Failed;

use crate::ingest::{BODY, CONNECTIONS, post};
use crate::product::Receiver;
use crate::report::Report;

/// How long the last webhook may take to arrive.
const MOST: Duration = Duration::from_secs(120);

/// How the connector is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// WebSocket in the native dialect.
    Websocket,
    /// WebSocket in the compatible dialect.
    WebsocketCompatible,
    /// Server-sent events.
    Sse,
    /// Long polling.
    LongPoll,
}

impl Transport {
    /// Returns the value of the connector's `protocol`.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::WebsocketCompatible => "websocket_compatible",
            Self::Sse => "sse",
            Self::LongPoll => "long_poll",
        }
    }

    /// Returns what its figures are called: webhooks per second, and the share of the native dialect's.
    fn figures(self) -> (&'static str, &'static str) {
        match self {
            Self::Websocket => ("websocket_per_second", "websocket_to_ingest"),
            Self::WebsocketCompatible => {
                ("websocket_compatible_per_second", "websocket_compatible_to_websocket")
            }
            Self::Sse => ("sse_per_second", "sse_to_websocket"),
            Self::LongPoll => ("long_poll_per_second", "long_poll_to_websocket"),
        }
    }
}

pub(crate) async fn measure(rounds: usize, seconds: u64, transports: &[Transport]) -> Result<Report, Failed> {
    let time = Duration::from_secs(seconds);
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let alone = Receiver::start().await?;
        let ingest = post(alone.address, time).await?.per_second();
        drop(alone);
        let mut figures = BTreeMap::from([("ingest_per_second", ingest)]);
        let mut native = None;
        for transport in transports {
            let relayed = relay(*transport, time).await?;
            let (name, share) = transport.figures();
            figures.insert(name, relayed);
            if *transport == Transport::Websocket {
                native = Some(relayed);
                figures.insert(share, relayed / ingest);
            } else if let Some(native) = native {
                figures.insert(share, relayed / native);
            }
        }
        all.push(figures);
    }
    let method = format!(
        "{CONNECTIONS} connections post {BODY}-byte HMAC-signed bodies for {seconds} s to a receiver without a connector, then \
         by each transport in turn to one with a connector whose `log` destination prints to /dev/null, timed until the last \
         one is delivered; sender, receiver and connector share the machine"
    );
    Ok(Report::new("relay", method, all))
}

/// Returns how many webhooks per second went from the sender to the destination.
async fn relay(transport: Transport, time: Duration) -> Result<f64, Failed> {
    let receiver = Receiver::start().await?;
    let _connector = receiver.connector(transport.protocol())?;
    receiver.reaches("connected_clients", 1, MOST).await?;
    let began = Instant::now();
    let relayed = post(receiver.address, time).await?;
    receiver.reaches("messages_delivered", relayed.answered, MOST).await?;
    Ok(relayed.answered as f64 / began.elapsed().as_secs_f64())
}
