//! Connections that say little or nothing.

use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::process::open_files;
use conformance::party::receiver::{Setup, WEBHOOK};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::smuggling::converse;
use crate::victim::Victim;

/// Connections that are held open at a time.
const MANY: usize = 10_000;

/// What the receiver may grow by for all of them: 40 KiB each.
const FOR_MANY: u64 = 40 * 1_024 * MANY as u64;

/// Files that each end needs beside them.
const BESIDE: usize = 600;

/// How many are dialled at a time. One that finds the system's queue full waits a second.
const DIALLERS: usize = 200;

/// Reads until the receiver hangs up, dripping a byte now and then; returns what came.
async fn drip(mut stream: TcpStream, byte: u8, most: Duration) -> Result<String, Failed> {
    let (end, mut said) = (Instant::now() + most, Vec::new());
    let (mut reader, mut writer) = stream.split();
    let mut piece = [0; 1_024];
    loop {
        ensure(Instant::now() < end, || format!("an end within {most:?}, found {said:?}"))?;
        match tokio::time::timeout(Duration::from_millis(100), reader.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => return Ok(String::from_utf8_lossy(&said).into_owned()),
            Ok(Ok(read)) => said.extend_from_slice(&piece[..read]),
            // The receiver may be about to hang up.
            Err(_) => drop(writer.write_all(&[byte]).await),
        }
    }
}

#[tokio::test]
async fn slow_heads_are_cut_off_and_counted() -> Result<(), Failed> {
    const SENDERS: u64 = 300;
    let receiver = json!({ "head_timeout_seconds": 1 });
    let mut victim = Victim::start(Setup { receiver, ..Setup::default() }).await?;
    let (address, mut senders) = (victim.address(), JoinSet::new());
    for _ in 0..SENDERS {
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream
                .write_all(format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\nx-slow: ").as_bytes())
                .await?;
            drip(stream, b'y', Duration::from_secs(8)).await
        });
    }
    victim.receiver.accepted("meanwhile", "1").await?;
    while let Some(said) = senders.join_next().await {
        let said = said??;
        ensure(said.is_empty() || said.starts_with("HTTP/1.1 408 "), || {
            format!("408 or nothing, found {said}")
        })?;
    }
    let found = victim.counts("limits", "listener", "head_timeout", SENDERS).await?;
    ensure_eq("senders counted", &found, &SENDERS)?;
    victim.drain().await?;
    victim.is_well(24 << 20).await
}

#[tokio::test]
async fn slow_bodies_are_answered_408_and_take_only_what_they_sent() -> Result<(), Failed> {
    const SENDERS: u64 = 300;
    let receiver = json!({ "body_timeout_seconds": 1 });
    let mut victim = Victim::start(Setup { receiver, ..Setup::default() }).await?;
    let (address, mut senders) = (victim.address(), JoinSet::new());
    for _ in 0..SENDERS {
        senders.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            // Each announces the largest body there may be.
            let head =
                format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 10485760\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            drip(stream, b'y', Duration::from_secs(8)).await
        });
    }
    victim.receiver.accepted("meanwhile", "1").await?;
    let mut largest = 0;
    while let Some(said) = senders.join_next().await {
        let said = said??;
        ensure(said.starts_with("HTTP/1.1 408 "), || format!("408, found {said:?}"))?;
        largest = largest.max(victim.growth()?);
    }
    println!("{SENDERS} slow bodies: grown by {} MiB", largest >> 20);
    ensure(largest <= 64 << 20, || format!("at most 64 MiB more, found {largest} bytes"))?;
    ensure_eq("senders counted", &victim.count("answers", "", "408").await?, &SENDERS)?;
    victim.drain().await?;
    victim.is_well(64 << 20).await
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_431() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    for line in ["x-header: y\r\n", "x: ", "y"] {
        let head = format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\n{}", line.repeat((4 << 20) / line.len()));
        let said = converse(victim.address(), head.as_bytes()).await?;
        ensure(said.is_closed && said.statuses == [431], || format!("431 for {line:?}, found {said:?}"))?;
    }
    let found = victim.counts("not_understood", "listener", "", 3).await?;
    ensure_eq("requests not understood", &found, &3)?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn ten_thousand_connections_that_say_nothing_hold_nobody_up_and_end() -> Result<(), Failed> {
    const TIMEOUT: u64 = 8;
    // This process holds one end of each, the receiver the other, each beside what it needs anyway.
    let many = MANY.min(open_files()?.saturating_sub(BESIDE));
    if many < MANY {
        println!("only {many} connections instead of {MANY}: the system allows no more open files");
    }
    let receiver = json!({ "head_timeout_seconds": TIMEOUT });
    let mut victim = Victim::start(Setup { receiver, ..Setup::default() }).await?;
    let (address, began, mut dialling) = (victim.address(), Instant::now(), JoinSet::new());
    for dialler in 0..DIALLERS {
        dialling.spawn(async move {
            let mut open = Vec::new();
            for nth in (dialler..many).step_by(DIALLERS) {
                let mut stream = TcpStream::connect(address).await?;
                if nth % 2 == 0 {
                    let half = format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost");
                    stream.write_all(half.as_bytes()).await?;
                }
                open.push(stream);
            }
            Ok::<_, Failed>(open)
        });
    }
    let mut open = Vec::with_capacity(many);
    while let Some(some) = dialling.join_next().await {
        open.extend(some??);
    }
    println!("{many} connections in {:?}, grown by {} MiB", began.elapsed(), victim.growth()? >> 20);
    ensure(began.elapsed() < Duration::from_secs(TIMEOUT), || {
        format!("all open at once, took {:?}", began.elapsed())
    })?;
    victim.is_well(FOR_MANY).await?;
    // All of them end by themselves.
    let end = Instant::now() + Duration::from_secs(TIMEOUT + 10);
    for mut stream in open {
        let mut piece = [0; 64];
        loop {
            match tokio::time::timeout_at(end, stream.read(&mut piece)).await? {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    let found = victim.counts("limits", "listener", "head_timeout", many as u64).await?;
    ensure_eq("connections counted", &found, &(many as u64))?;
    println!("afterwards grown by {} MiB", victim.growth()? >> 20);
    victim.is_well(FOR_MANY).await
}
