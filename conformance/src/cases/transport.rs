//! The way between receiver and connector.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::case::{Case, Failed, ensure};
use crate::cases::fidelity::to_http;
use crate::party::connector::Link;
use crate::party::destination::Destination;
use crate::party::process::Process;
use crate::party::proxy::{Mode, Proxy};
use crate::party::receiver::{CHANNEL, Receiver, Setup, TOKEN};
use crate::party::sender;
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "TRN-01",
        title: "a bad token, an unknown channel and another channel's token are all answered 401",
        proves: "F4.5",
        needs_durability: false,
        run: |stand| Box::pin(tokens(stand)),
    },
    Case {
        id: "TRN-02",
        title: "both ends notice a link that went silent",
        proves: "G5",
        needs_durability: false,
        run: |stand| Box::pin(silent_link(stand)),
    },
    Case {
        id: "TRN-03",
        title: "with WebSocket blocked, webhooks come by events, then by polling, and by WebSocket again later",
        proves: "F4.3",
        needs_durability: false,
        run: |stand| Box::pin(fallback(stand)),
    },
];

async fn tokens(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    for (channel, token) in [(CHANNEL, "wrong"), (CHANNEL, ""), ("unknown", TOKEN), (CHANNEL, &TOKEN[1..])] {
        let refused = Link::connect(receiver.address(), channel, token, 1).await;
        let why = refused.err().map(|Failed(why)| why).unwrap_or_default();
        ensure(why.contains("401"), || format!("401 for channel {channel}, found: {why}"))?;
    }
    receiver.link(1).await.map(|_| ())
}

async fn silent_link(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "heartbeat_seconds": 1 }))).await?;
    let proxy = Proxy::start(receiver.address()).await?;
    let mut far = Link::connect(proxy.address(), CHANNEL, TOKEN, 1).await?;
    sender::accepted(receiver.address(), "a", "1").await?;
    far.next(SOON).await?;
    proxy.set(Mode::Stall);
    let stalled = Instant::now();
    // The receiver gives the webhook to another connector once it has missed two heartbeats.
    let mut near = receiver.link(1).await?;
    let again = near.next(SOON).await?;
    stand.note(format!("the receiver noticed after {} ms", stalled.elapsed().as_millis()));
    near.deliver(&again).await?;
    drop(near);
    // The real connector behind a link that falls silent connects anew.
    let proxy = Proxy::start(receiver.address()).await?;
    let destination = Destination::start().await?;
    let mut config = to_http(&receiver, &destination.url());
    config["cloud"]["url"] = json!(format!("http://{}", proxy.address()));
    let mut connector = stand.connector(&config)?;
    receiver
        .settles("the connector is here", SOON * 2, |stats| stats.count("connected_clients") >= 1)
        .await?;
    proxy.set(Mode::Stall);
    receiver.settles("its session ended", SOON, |stats| stats.count("connected_clients") == 0).await?;
    proxy.set(Mode::Pass);
    sender::accepted(receiver.address(), "b", "1").await?;
    until("the connector connects anew", SOON * 3, || {
        let there = !destination.calls().is_empty();
        async move { Ok(there.then_some(())) }
    })
    .await
    .map_err(|Failed(why)| Failed(format!("{why}\n{}", connector.log().unwrap_or_default())))?;
    connector.kill().await
}

async fn fallback(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let proxy = Proxy::start(receiver.address()).await?;
    proxy.set(Mode::NoWebSocket);
    let destination = Destination::start().await?;
    let mut config = to_http(&receiver, &destination.url());
    config["cloud"]["url"] = json!(format!("http://{}", proxy.address()));
    config["reconnect"] = json!({ "initial_seconds": 0.05, "max_seconds": 0.5, "better_seconds": 3600 });
    let mut connector = stand.connector(&config)?;
    travels(&receiver, &mut connector, &destination, "sse").await?;
    proxy.set(Mode::NoStreams);
    travels(&receiver, &mut connector, &destination, "long_poll").await?;
    // A connector that has just started begins with the best and takes the better way once it works again.
    connector.kill().await?;
    proxy.set(Mode::NoWebSocket);
    config["reconnect"]["better_seconds"] = json!(1);
    let mut connector = stand.connector(&config)?;
    travels(&receiver, &mut connector, &destination, "sse").await?;
    proxy.set(Mode::Pass);
    travels(&receiver, &mut connector, &destination, "websocket").await?;
    receiver.settles("everything is settled", SOON, |stats| stats.count("messages_delivered") == 4).await?;
    connector.kill().await
}

/// Waits until the connector says that it is connected by `transport`, and has a webhook delivered.
async fn travels(
    receiver: &Receiver,
    connector: &mut Process,
    destination: &Destination,
    transport: &str,
) -> Result<(), Failed> {
    let from = connector.log()?.rfind("connecting").unwrap_or(0);
    let named = format!("transport=\"{transport}\"");
    let connected = |log: &str| {
        let mut lines = log.lines();
        lines.any(|line| line.contains(" connected ") && line.contains(&named)).then_some(())
    };
    connector.says(&format!("connected by {transport}"), from, SOON * 6, connected).await?;
    let before = destination.count();
    sender::accepted(receiver.address(), transport, "1").await?;
    until("the webhook arrives", SOON * 2, || {
        let there = destination.count() > before;
        async move { Ok(there.then_some(())) }
    })
    .await?;
    Ok(())
}
