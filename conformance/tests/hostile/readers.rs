//! Connectors that do not read what they are sent.

use std::time::Duration;

use conformance::case::{Failed, ensure};
use conformance::party::http as client;
use conformance::party::receiver::{CHANNEL, Setup, TOKEN};
use conformance::party::socket::Socket;
use conformance::party::wait::until;
use engine::ledger::Window;
use schemas::wire::SUBPROTOCOL;
use schemas::wire::frame::Frame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::victim::Victim;
use crate::{is_well, start};

#[tokio::test]
async fn a_connector_that_does_not_read_is_let_go_with_all_that_waits_for_it() -> Result<(), Failed> {
    const BODY: usize = 8 << 20;
    let limits =
        json!({ "heartbeat_seconds": 1, "max_in_flight_bytes": 1 << 30, "max_queue_bytes": 1 << 30 });
    let (_stand, receiver) = start(Setup::limits(limits)).await;
    for nth in 0..8 {
        receiver.accepted(&nth.to_string(), format!("\"{}\"", "x".repeat(BODY))).await?;
    }
    let mut stream = TcpStream::connect(receiver.address()).await?;
    let head = format!(
        "GET /connect/stream/{CHANNEL} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let window = Window { events: 100, bytes: 1 << 30 };
    let hello = Frame::Hello { window, connector: "deaf".into(), tap: false }.encode();
    // One masked binary message with a mask of zeros.
    let message = [&[0x82, 0x80 | u8::try_from(hello.len())?, 0, 0, 0, 0][..], &hello].concat();
    stream.write_all(&message).await?;
    let most = Duration::from_secs(20);
    receiver.settles("it is here", most, |stats| stats.count("connected_clients") == 1).await?;
    receiver.settles("it is given up", most, |stats| stats.count("connected_clients") == 0).await?;
    // Then the receiver lets go of everything that waits for it, and only what the system had taken over still arrives.
    until("nothing is left of it", most, || async {
        let health = client::get(receiver.address(), "/health", "").await?.json()?;
        Ok((health["connections_count"] == 0).then_some(()))
    })
    .await?;
    let (mut read, mut piece) = (0, vec![0; 1 << 20]);
    loop {
        match tokio::time::timeout(most, stream.read(&mut piece)).await? {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    ensure(read < 4 * BODY, || format!("a part of what was queued, found {read} bytes"))?;
    is_well(&receiver, 8).await
}

/// What the receiver may grow by for eight readers that are deaf: what each has under way, twice, as bytes and as text.
const DEAF_READERS: u64 = 256 << 20;

#[tokio::test]
async fn readers_of_events_that_stop_reading_hold_bounded_memory_and_lose_nothing() -> Result<(), Failed> {
    const BODY: usize = 1 << 20;
    const WEBHOOKS: usize = 24;
    let limits = json!({ "ack_timeout_seconds": 1, "max_deliveries": 1000, "heartbeat_seconds": 1 });
    let mut victim = Victim::start(Setup::limits(limits)).await?;
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(victim.address()).await?;
        let head = format!(
            "GET /connect/stream/{CHANNEL}/sse HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        deaf.push(stream);
    }
    let most = Duration::from_secs(20);
    let all_here = |stats: &conformance::party::receiver::Stats| stats.count("connected_clients") == 8;
    victim.receiver.settles("they are here", most, all_here).await?;
    for nth in 0..WEBHOOKS {
        victim.receiver.accepted(&nth.to_string(), format!("\"{}\"", "x".repeat(BODY))).await?;
    }
    // For a few ACK deadlines everything comes back and is offered again.
    let end = tokio::time::Instant::now() + Duration::from_secs(4);
    let mut largest = 0;
    while tokio::time::Instant::now() < end {
        largest = largest.max(victim.growth()?);
        victim.receiver.stats().await?.ensure_balance()?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("eight deaf readers: grown by {} MiB", largest >> 20);
    ensure(largest <= DEAF_READERS, || format!("at most {DEAF_READERS} bytes more, found {largest}"))?;
    drop(deaf);
    let mut link = victim.receiver.link(WEBHOOKS).await?;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < WEBHOOKS {
        let delivery = link.next(most).await?;
        seen.insert(delivery.webhook.id());
        link.deliver(&delivery).await?;
    }
    drop(link);
    victim.is_well(DEAF_READERS).await
}

#[tokio::test]
async fn a_window_beyond_all_bounds_is_the_channels_own() -> Result<(), Failed> {
    let limits = json!({ "max_in_flight": 5, "ack_timeout_seconds": 60 });
    let mut victim = Victim::start(Setup::limits(limits)).await?;
    let mut socket = Socket::windowed(victim.address(), Window { events: 1 << 63, bytes: 1 << 63 }).await?;
    socket.frame(Frame::Window(Window { events: usize::MAX, bytes: usize::MAX })).await?;
    for nth in 0..10 {
        victim.receiver.accepted(&nth.to_string(), "1").await?;
    }
    let full = |stats: &conformance::party::receiver::Stats| stats.count("messages_in_flight") == 5;
    victim.receiver.settles("five are in flight", Duration::from_secs(5), full).await?;
    // Would more come, they would come now.
    let more = |stats: &conformance::party::receiver::Stats| stats.count("messages_in_flight") > 5;
    let waited = victim.receiver.settles("more", Duration::from_millis(500), more).await;
    ensure(waited.is_err(), || "five at most in flight".to_owned())?;
    drop(socket);
    victim.drain().await?;
    victim.is_well(64 << 20).await
}
