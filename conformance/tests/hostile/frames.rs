//! WebSocket frames that break the protocol (RFC 6455): the connection is closed, and that is all.

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::receiver::{CHANNEL, Setup};
use conformance::party::socket::{Claim, Dialect, Socket};
use serde_json::json;

use crate::victim::Victim;

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// What the receiver may grow by for the largest message that it collects, which grows by doubling.
const ONE_MESSAGE: u64 = 64 << 20;

/// What the log says of a connection that ends otherwise than by a goodbye.
const LOST: &str = "a connector was lost";

/// What it says then of one that hung up, as the first connector did.
const HUNG_UP: &str = "reset without closing";

/// Frames that no connector may send, each with what is wrong with it.
const BROKEN: [(&str, &[Claim], &[u8]); 14] = [
    ("a length of 2^62", &[claim(FIN | TEXT, Some(1 << 62))], b"x"),
    ("a length of 2^63 and more", &[claim(FIN | TEXT, Some(u64::MAX))], b"x"),
    ("a length beyond the largest message", &[claim(FIN | TEXT, Some(32 << 20))], b"x"),
    ("a long ping", &[claim(FIN | PING, None)], &[b'x'; 126]),
    ("a long close", &[claim(FIN | CLOSE, None)], &[b'x'; 126]),
    ("a ping in fragments", &[claim(PING, None)], b"x"),
    ("a frame without a mask", &[Claim { is_masked: false, ..claim(FIN | TEXT, None) }], b"{}"),
    ("reserved bit 1", &[claim(FIN | 0x40 | TEXT, None)], b"{}"),
    ("reserved bits 2 and 3", &[claim(FIN | 0x30 | TEXT, None)], b"{}"),
    ("a reserved data opcode", &[claim(FIN | 3, None)], b"{}"),
    ("a reserved control opcode", &[claim(FIN | 0xb, None)], b"{}"),
    ("the rest of nothing", &[claim(FIN | CONTINUATION, None)], b"{}"),
    ("a message within a message", &[claim(TEXT, None), claim(FIN | TEXT, None)], b"{}"),
    ("text that is not UTF-8", &[claim(FIN | TEXT, None)], b"{\"type\":\"\xff\xfe\"}"),
];

const fn claim(first: u8, length: Option<u64>) -> Claim {
    Claim { first, length, is_masked: true }
}

#[tokio::test]
async fn a_connector_that_breaks_the_protocol_is_closed_in_either_dialect() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::limits(json!({ "max_connections": 100 }))).await?;
    for dialect in [Dialect::Native, Dialect::Compatible] {
        for (what, claims, payload) in BROKEN {
            let mut socket = Socket::session(victim.address(), dialect).await?;
            for claim in claims {
                socket.send(*claim, payload).await?;
            }
            socket.ended().await.map_err(|Failed(why)| Failed(format!("{dialect:?}, {what}: {why}")))?;
        }
    }
    let log = victim.log()?;
    let lost = log.lines().filter(|line| line.contains(LOST) && !line.contains(HUNG_UP)).count();
    ensure_eq("lines in the log", &lost, &(2 * BROKEN.len()))?;
    victim.is_well(32 << 20).await
}

#[tokio::test]
async fn a_message_of_endless_fragments_is_cut_off_at_the_largest_message() -> Result<(), Failed> {
    for dialect in [Dialect::Native, Dialect::Compatible] {
        let mut victim = Victim::start(Setup::default()).await?;
        let mut socket = Socket::session(victim.address(), dialect).await?;
        let (mut first, piece, mut sent) = (BINARY, vec![b'x'; 1 << 20], 0);
        while sent < 64 && socket.message(first, &piece).await.is_ok() {
            (first, sent) = (CONTINUATION, sent + 1);
        }
        ensure(sent < 40, || format!("an end before the 40th fragment of 1 MiB, sent {sent}"))?;
        println!("{dialect:?}: grown by {} MiB", victim.growth()? >> 20);
        drop(socket);
        victim.is_well(ONE_MESSAGE).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_flood_of_empty_fragments_and_pings_that_nobody_reads_takes_no_memory() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let mut empty = Socket::session(victim.address(), Dialect::Native).await?;
    let mut pings = Socket::session(victim.address(), Dialect::Compatible).await?;
    empty.message(BINARY, b"").await?;
    let nothing = [CONTINUATION, 0x80, 0, 0, 0, 0].repeat(1_000);
    let ping = [&[FIN | PING, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat().repeat(100);
    for _ in 0..200 {
        empty.raw(&nothing).await?;
        // Its answers fill what is between both ends; then the receiver stops to read.
        if pings.raw(&ping).await.is_err() {
            break;
        }
    }
    drop((empty, pings));
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn what_cannot_be_understood_is_counted_and_the_session_lives_on() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::limits(json!({ "max_connections": 100 }))).await?;
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let long = format!("{{\"type\":\"ack\",\"message_id\":\"{}\"}}", "x".repeat(1 << 20));
    let texts: [&[u8]; 6] = [b"", b"nope", b"[]", b"{\"type\":\"bomb\"}", &deep, long.as_bytes()];
    let mut compatible = Socket::session(victim.address(), Dialect::Compatible).await?;
    for text in texts {
        compatible.message(FIN | TEXT, text).await?;
    }
    // A list of 4,294,967,295 settlements that are not there, and a type nobody knows.
    let frames: [&[u8]; 4] = [b"", &[0xff], &[4, 0xff, 0xff, 0xff, 0xff, 0], &[0x04; 4_096]];
    let mut native = Socket::session(victim.address(), Dialect::Native).await?;
    for frame in frames {
        native.message(FIN | BINARY, frame).await?;
    }
    let wanted = u64::try_from(texts.len() + frames.len())?;
    let found = victim.counts("not_understood", CHANNEL, "", wanted).await?;
    ensure_eq("messages not understood", &found, &wanted)?;
    let said = victim.log()?.matches("a connector sent something that is ignored").count();
    ensure_eq("lines in the log", &said, &2)?;
    let here = victim.receiver.stats().await?.count("connected_clients");
    ensure_eq("sessions that live on", &here, &2)?;
    drop((compatible, native));
    victim.is_well(32 << 20).await
}
