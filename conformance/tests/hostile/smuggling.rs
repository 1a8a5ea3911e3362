//! Requests whose length two readers would understand differently: none is ever taken for two.

use std::net::SocketAddr;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::receiver::{SECRET, Setup, WEBHOOK};
use conformance::party::sender::{DELIVERY, signature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::victim::Victim;

/// How long an answer may take, and how long a connection that stays open is watched for another.
const MOST: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(150);

/// What came back on one connection.
#[derive(Debug)]
pub(crate) struct Said {
    /// The status of each answer.
    pub(crate) statuses: Vec<u16>,
    /// Whether the receiver hung up.
    pub(crate) is_closed: bool,
}

/// Sends bytes as they are on a connection of their own, and reads what comes until nothing more does.
pub(crate) async fn converse(address: SocketAddr, request: &[u8]) -> Result<Said, Failed> {
    let mut stream = TcpStream::connect(address).await?;
    // The receiver may answer and hang up before it has read everything.
    drop(stream.write_all(request).await);
    let (mut bytes, mut piece, mut is_closed) = (Vec::new(), [0; 4_096], false);
    let mut patience = MOST;
    while let Ok(read) = tokio::time::timeout(patience, stream.read(&mut piece)).await {
        let read = read.unwrap_or(0);
        if read == 0 {
            is_closed = true;
            break;
        }
        bytes.extend_from_slice(&piece[..read]);
        patience = QUIET;
    }
    let text = String::from_utf8_lossy(&bytes);
    let statuses = text.match_indices("HTTP/1.1 ").filter_map(|(at, mark)| {
        let status = text.get(at + mark.len()..at + mark.len() + 3)?;
        status.parse().ok()
    });
    Ok(Said { statuses: statuses.collect(), is_closed })
}

/// A whole request that would be accepted, named `smuggled`.
fn smuggled() -> String {
    let signature = signature(SECRET, b"smuggled");
    format!(
        "POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\n{DELIVERY}: smuggled\r\nx-hub-signature-256: {signature}\r\n\
         content-length: 8\r\n\r\nsmuggled"
    )
}

/// The head of a request whose body is understood as `body`, with `lines` in it.
fn head(body: &str, lines: &str) -> String {
    let signature = signature(SECRET, body.as_bytes());
    format!(
        "POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\n{DELIVERY}: outer\r\nx-hub-signature-256: {signature}\r\n{lines}\r\n"
    )
}

#[tokio::test]
async fn two_requests_on_one_connection_are_told_apart() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let both = format!("{}hello{}", head("hello", "content-length: 5\r\n"), smuggled());
    let said = converse(victim.address(), both.as_bytes()).await?;
    ensure_eq("the answers", &said.statuses, &vec![200, 200])?;
    ensure_eq(
        "what was delivered",
        &victim.drain().await?,
        &vec!["outer".to_owned(), "smuggled".to_owned()],
    )?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn both_lengths_at_once_are_one_request_and_the_end_of_the_connection() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let (chunked, length) = ("transfer-encoding: chunked\r\n", "content-length: 4\r\n");
    for lines in [format!("{chunked}{length}"), format!("{length}{chunked}")] {
        let bodies = [
            ("", format!("0\r\n\r\n{}", smuggled())),
            ("hello", format!("5\r\nhello\r\n0\r\n\r\n{}", smuggled())),
        ];
        for (body, sent) in bodies {
            let said = converse(victim.address(), format!("{}{sent}", head(body, &lines)).as_bytes()).await?;
            ensure(said.is_closed && said.statuses == [200], || {
                format!("one answer and the end for {lines:?} and {body:?}, found {said:?}")
            })?;
        }
    }
    ensure_eq("what was delivered", &victim.drain().await?, &vec!["outer".to_owned(); 4])?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn a_length_or_a_header_that_is_ambiguous_is_answered_400_and_never_taken() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let lines = [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length: 5 5\r\n",
        "content-length:\r\n",
        "content-length : 5\r\n",
        "content-length\t: 5\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length: 5\r\nx-folded: a\r\n b\r\n",
        "content-length: 5\r\n folded: a\r\n",
        "content-length: 5\r\nx-nul: a\0b\r\n",
        "content-length: 5\r\nx-\0: a\r\n",
        "content-length: 5\r\nx-cr: a\rcontent-length: 9\r\n",
        "content-length: 5\r\nx y: a\r\n",
        "content-length: 5\r\n: a\r\n",
        "content-length: 5\r\nnothing\r\n",
    ];
    let wanted = u64::try_from(lines.len())?;
    for line in lines {
        let request = format!("{}hello{}", head("hello", line), smuggled());
        let said = converse(victim.address(), request.as_bytes()).await?;
        ensure(said.is_closed && said.statuses == [400], || {
            format!("400 and the end for {line:?}, found {said:?}")
        })?;
    }
    ensure_eq("what was taken", &victim.drain().await?, &Vec::new())?;
    let found = victim.counts("not_understood", "listener", "", wanted).await?;
    ensure_eq("requests not understood", &found, &wanted)?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn chunks_that_are_ambiguous_end_the_connection_and_are_never_taken() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let flood = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "x-trailer: y\r\n".repeat(10_000));
    let broken = [
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        &flood,
        &trailers,
    ];
    let chunked = head("hello", "transfer-encoding: chunked\r\n");
    for body in broken {
        let said = converse(victim.address(), format!("{chunked}{body}{}", smuggled()).as_bytes()).await?;
        let shown: String = body.chars().take(40).collect();
        ensure(said.is_closed && said.statuses.iter().all(|status| *status == 400), || {
            format!("400 or nothing, and the end, for {shown:?}, found {said:?}")
        })?;
    }
    ensure_eq("what was taken", &victim.drain().await?, &Vec::new())?;
    // Extensions mean nothing, and are allowed.
    let extended = format!("{chunked}5;name=value;quoted=\"x\"\r\nhello\r\n0\r\n\r\n");
    let said = converse(victim.address(), extended.as_bytes()).await?;
    ensure_eq("the answers to extensions", &said.statuses, &vec![200])?;
    ensure_eq("what was taken", &victim.drain().await?, &vec!["outer".to_owned()])?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn other_protocols_and_versions_are_refused() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let old = head("hello", "transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let requests: [&[u8]; 6] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/3.0\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        &[old.as_bytes(), b"5\r\nhello\r\n0\r\n\r\n"].concat(),
    ];
    for request in requests {
        let said = converse(victim.address(), request).await?;
        ensure(said.is_closed && said.statuses.iter().all(|status| [400, 505].contains(status)), || {
            format!("a refusal and the end for {:?}, found {said:?}", String::from_utf8_lossy(request))
        })?;
    }
    victim.is_well(16 << 20).await
}
