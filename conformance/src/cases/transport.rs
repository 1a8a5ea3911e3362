//! The way between receiver and connector.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::case::{Case, Failed, Need, Varies, ensure};
use crate::cases::fidelity::to_http;
use crate::cases::tap::Taps;
use crate::party::connector::Link;
use crate::party::destination::Destination;
use crate::party::process::Process;
use crate::party::proxy::{Mode, Proxy};
use crate::party::receiver::{CHANNEL, Receiver, Setup, TOKEN, Target};
use crate::party::transport::Transport;
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
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(tokens(stand)),
    },
    Case {
        id: "TRN-02",
        title: "both ends notice a link that went silent",
        proves: "G5",
        needs_durability: false,
        needs: Need::Settings("heartbeat_seconds 1"),
        varies: Varies::ButLongPoll,
        run: |stand| Box::pin(silent_link(stand)),
    },
    Case {
        id: "TRN-03",
        title: "with WebSocket blocked, webhooks come by events, then by polling, and by WebSocket again later",
        proves: "F4.3",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(fallback(stand)),
    },
    Case {
        id: "TRN-04",
        title: "a connector that stops reading holds no more than its window, and gets what it missed",
        proves: "G8",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::ButLongPoll,
        run: |stand| Box::pin(stalled(stand)),
    },
    Case {
        id: "TAP-01",
        title: "taps see every webhook, workers share them, and a stalled tap is told its gap",
        proves: "F1.12",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(taps(stand)),
    },
];

async fn tokens(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let Target { site, channel: own, token, .. } = receiver.target();
    let token = token.expose();
    let shorter: String = token.chars().skip(1).collect();
    for (channel, token) in [(own.as_str(), "wrong"), (own, ""), ("unknown", token), (own, &shorter)] {
        let refused = match Link::open(stand.transport(), site, channel, token, 1).await {
            // A poll says it when it polls.
            Ok(mut link) => link.maybe(Duration::from_secs(1)).await.map(|_| ()),
            Err(why) => Err(why),
        };
        let why = refused.err().map(|Failed(why)| why).unwrap_or_default();
        ensure(why.contains("401"), || format!("expected 401 for channel `{channel}`, found: {why}"))?;
    }
    receiver.link(1).await.map(|_| ())
}

async fn silent_link(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "heartbeat_seconds": 1 }))).await?;
    let proxy = Proxy::start(receiver.address()).await?;
    let mut far = Link::open(stand.transport(), proxy.address(), CHANNEL, TOKEN, 1).await?;
    receiver.accepted("a", "1").await?;
    far.next(SOON).await?;
    proxy.set(Mode::Stall);
    let stalled = Instant::now();
    // The receiver gives the webhook to another connector once it has missed two heartbeats.
    let mut near = receiver.link(1).await?;
    let again = loop {
        ensure(stalled.elapsed() < SOON * 2, || {
            "a webhook that a silent connector held comes again".to_owned()
        })?;
        // Else it would be taken for silent as well.
        near.keep_alive().await?;
        if let Some(again) = near.any(Duration::from_millis(300)).await? {
            break again;
        }
    };
    stand.note(format!("the receiver noticed after {} ms", stalled.elapsed().as_millis()));
    near.deliver(&again).await?;
    drop(near);
    if stand.transport() != Transport::WebSocket {
        stand.note("the connector's end was left out: it is shown natively");
        return Ok(());
    }
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
    receiver.accepted("b", "1").await?;
    until("the connector connects anew", SOON * 3, || {
        let there = !destination.calls().is_empty();
        async move { Ok(there.then_some(())) }
    })
    .await
    .map_err(|Failed(why)| Failed(format!("{why}\n{}", connector.log().unwrap_or_default())))?;
    connector.kill().await
}

async fn stalled(stand: Stand) -> Result<(), Failed> {
    const WINDOW: usize = 8;
    let receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(WINDOW).await?;
    // A channel that others use is loaded with no more than shows it.
    let size = if stand.is_own() { 512 * 1024 } else { 32 * 1024 };
    let body = |nth: u8| format!("\"{}\"", char::from(b'0' + nth).to_string().repeat(size)).into_bytes();
    for nth in 0..40_u8 {
        receiver.accepted(&nth.to_string(), body(nth)).await?;
        let stats = receiver.stats().await?;
        ensure(stats.count("messages_in_flight") <= 8, || format!("at most a window, found {stats:?}"))?;
    }
    for nth in 0..40_u8 {
        let delivery = link.next(SOON).await?;
        ensure(delivery.webhook.body == body(nth), || {
            format!("expected webhook {nth} in its place, found {}", delivery.webhook.id())
        })?;
        link.deliver(&delivery).await?;
    }
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == 40).await?;
    Ok(())
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
    // What is killed with a poll's answer unsettled comes back at the deadline only.
    receiver.settles("both are settled", SOON, |stats| stats.count("messages_delivered") == 2).await?;
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
    receiver.accepted(transport, "1").await?;
    until("the webhook arrives", SOON * 2, || {
        let there = destination.count() > before;
        async move { Ok(there.then_some(())) }
    })
    .await?;
    Ok(())
}

async fn taps(stand: Stand) -> Result<(), Failed> {
    const LARGE: usize = 1 << 20;
    let receiver = stand.receiver(Setup::default()).await?;
    let real = if stand.is_own() { Some(Taps::start(&stand, &receiver).await?) } else { None };
    let mut taps = Vec::new();
    let count = if stand.is_own() { 3 } else { 2 };
    for _ in 0..count {
        let mut tap = receiver.tap().await?;
        // A tap that polls stands somewhere once it has polled.
        ensure(tap.maybe(Duration::from_millis(100)).await?.is_none(), || "nothing is there yet".to_owned())?;
        taps.push(tap);
    }
    let mut workers = [receiver.link(10).await?, receiver.link(10).await?];
    for nth in 0..10_u8 {
        receiver.accepted(&nth.to_string(), nth.to_string()).await?;
    }
    let (stalled, lively) = taps.split_at_mut(1);
    for tap in lively {
        for nth in 0..10_u8 {
            let delivery = tap.next(SOON).await?;
            ensure(delivery.webhook.body == nth.to_string(), || format!("webhook {nth} in its place"))?;
            // What a tap says counts for nobody.
            drop(tap.deliver(&delivery).await);
        }
    }
    if let Some(real) = &real {
        real.see(10).await?;
    }
    let work = receiver.settles("the workers' are not settled", SOON, |s| s.count("messages_delivered") == 0);
    work.await?;
    let (mut shared, began) = (0, Instant::now());
    while shared < 10 && began.elapsed() < SOON * 2 {
        for worker in &mut workers {
            while let Some(delivery) = worker.maybe(Duration::from_millis(200)).await? {
                worker.deliver(&delivery).await?;
                shared += 1;
            }
        }
    }
    receiver.settles("the workers share all", SOON, |stats| stats.count("messages_delivered") == 10).await?;
    let Some(real) = real else {
        stand.note("the stalled tap was left out: it takes 60 MiB of webhooks");
        return Ok(());
    };
    // Two taps stop looking; nobody is held back by them.
    real.slow(true);
    for nth in 0..60_u8 {
        receiver.accepted(&nth.to_string(), vec![nth; LARGE]).await?;
        let worker = &mut workers[0];
        if let Some(delivery) = worker.maybe(Duration::from_millis(20)).await? {
            worker.deliver(&delivery).await?;
        }
    }
    real.slow(false);
    let tap = &mut stalled[0];
    let mut seen = 0_u64;
    while seen + tap.missed() < 70 {
        let found = tap.maybe(SOON).await?;
        ensure(found.is_some() || tap.missed() > 0, || format!("70 seen or missed, found {seen}"))?;
        seen += u64::from(found.is_some());
        if found.is_none() {
            break;
        }
    }
    stand.note(format!("the stalled tap saw {seen} and was told that it missed {}", tap.missed()));
    ensure(tap.missed() > 0 && seen + tap.missed() == 70, || {
        format!("70 seen or missed, found {seen} and {}", tap.missed())
    })?;
    real.saw_or_missed(70, &stand).await
}
