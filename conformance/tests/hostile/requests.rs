//! Bad requests: each gets a clear error, and nothing is lost.

use std::net::SocketAddr;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::receiver::{SECRET, Setup, WEBHOOK};
use conformance::party::{http as client, sender};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{is_well, start};

/// The largest body there may be, in bytes.
const LARGEST: usize = 10_485_760;

fn json_receiver() -> Setup {
    Setup { data_type: "json", ..Setup::default() }
}

/// Sends bytes as they are and returns the status of the answer and what follows it.
async fn raw(address: SocketAddr, request: &[u8]) -> Result<(u16, String), Failed> {
    let mut stream = TcpStream::connect(address).await?;
    // The receiver may answer and hang up before it has read everything.
    drop(stream.write_all(request).await);
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> Result<(u16, String), Failed> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await {
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if read == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| Failed(format!("an answer, found {text:?}")))?, text))
}

#[tokio::test]
async fn malformed_json_is_answered_400() -> Result<(), Failed> {
    let (_stand, receiver) = start(json_receiver()).await;
    for body in ["{\"a\":", "nope", "", "{} {}", "\u{feff}{}"] {
        let answer = receiver.send("a", body).await?;
        ensure_eq(body, &answer.status.as_u16(), &400)?;
        ensure(answer.json()?["detail"].is_string(), || "a `detail`".to_owned())?;
    }
    is_well(&receiver, 0).await
}

#[tokio::test]
async fn a_wrong_or_missing_signature_is_answered_401() -> Result<(), Failed> {
    let (_stand, receiver) = start(json_receiver()).await;
    let wrong = sender::signature("another secret", b"1");
    for signature in [wrong.as_str(), "", "sha256=", "sha256=zz", "sha1=00"] {
        let request = Request::post(format!("/webhook/{WEBHOOK}"))
            .header("host", "localhost")
            .header("x-hub-signature-256", signature)
            .body(Full::from("1"))?;
        let answer = client::send(receiver.address(), request).await?;
        ensure_eq(signature, &answer.status.as_u16(), &401)?;
    }
    let unsigned =
        Request::post(format!("/webhook/{WEBHOOK}")).header("host", "localhost").body(Full::from("1"))?;
    ensure_eq("no signature", &client::send(receiver.address(), unsigned).await?.status.as_u16(), &401)?;
    is_well(&receiver, 0).await
}

#[tokio::test]
async fn an_unknown_id_is_404_and_a_wrong_method_405() -> Result<(), Failed> {
    let (_stand, receiver) = start(json_receiver()).await;
    let send = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        client::send(receiver.address(), request.body(Full::default())?).await
    };
    for path in ["/webhook/unknown", "/", "/webhook", "/webhook/a/b/c", "/a/b/c/d/e/f/g/h"] {
        ensure_eq(path, &send(Method::POST, path).await?.status.as_u16(), &404)?;
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = send(method, &format!("/webhook/{WEBHOOK}")).await?;
        ensure_eq("the status", &answer.status.as_u16(), &405)?;
        ensure_eq("Allow", &answer.headers.get("allow").map(|value| value.as_bytes()), &Some(&b"POST"[..]))?;
    }
    is_well(&receiver, 0).await
}

#[tokio::test]
async fn the_largest_body_passes_and_one_byte_more_is_413_before_it_is_read() -> Result<(), Failed> {
    let (_stand, receiver) = start(Setup::default()).await;
    receiver.accepted("largest", vec![0xfe; LARGEST]).await?;
    let signature = sender::signature(SECRET, b"");
    let head = format!(
        "POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n",
        LARGEST + 1
    );
    // Not a byte of the body is sent: the answer comes all the same.
    let (status, text) = raw(receiver.address(), head.as_bytes()).await?;
    ensure_eq("the status", &status, &413)?;
    ensure(text.to_lowercase().contains("connection: close"), || "the connection is closed".to_owned())?;
    is_well(&receiver, 1).await
}

#[tokio::test]
async fn a_chunked_body_without_length_is_accepted_and_bounded() -> Result<(), Failed> {
    let (_stand, receiver) = start(Setup::default()).await;
    let signature = sender::signature(SECRET, b"hello world");
    let head = format!(
        "POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\nx-hub-signature-256: {signature}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let (status, _) =
        raw(receiver.address(), format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n").as_bytes()).await?;
    ensure_eq("a small one", &status, &200)?;
    let mut stream = TcpStream::connect(receiver.address()).await?;
    stream.write_all(head.as_bytes()).await?;
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..12 {
        // Once it has answered, the receiver takes no more.
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    ensure_eq("an endless one", &answer(&mut stream).await?.0, &413)?;
    // Framing that is broken ends the connection, with or without a word, and is never taken for a webhook.
    let broken = raw(receiver.address(), format!("{head}zz\r\nhello\r\n").as_bytes()).await;
    ensure(broken.as_ref().map_or(true, |(status, _)| *status == 400), || {
        format!("no 2xx, found {broken:?}")
    })?;
    is_well(&receiver, 1).await
}

#[tokio::test]
async fn a_slow_sender_is_answered_408_and_holds_nobody_up() -> Result<(), Failed> {
    let timeouts = json!({ "body_timeout_seconds": 1 });
    let (_stand, receiver) = start(Setup { receiver: timeouts, ..Setup::default() }).await;
    let mut stream = TcpStream::connect(receiver.address()).await?;
    let head = format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nslow");
    stream.write_all(head.as_bytes()).await?;
    is_well(&receiver, 0).await?;
    ensure_eq("the status", &answer(&mut stream).await?.0, &408)?;
    is_well(&receiver, 1).await
}

#[tokio::test]
async fn a_flood_of_headers_is_answered_431() -> Result<(), Failed> {
    let (_stand, receiver) = start(Setup::default()).await;
    let many: String = (0..200).map(|nth| format!("x-{nth}: y\r\n")).collect();
    let large = format!("x-large: {}\r\n", "y".repeat(100_000));
    for headers in [many, large] {
        let head =
            format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\n{headers}content-length: 1\r\n\r\n1");
        let (status, _) = raw(receiver.address(), head.as_bytes()).await?;
        ensure_eq("the status", &status, &431)?;
    }
    is_well(&receiver, 0).await
}

#[tokio::test]
async fn a_sender_that_hangs_up_in_the_middle_leaves_nothing_behind() -> Result<(), Failed> {
    let (_stand, receiver) = start(Setup::default()).await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(receiver.address()).await?;
        let head = format!("POST /webhook/{WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf");
        stream.write_all(head.as_bytes()).await?;
    }
    is_well(&receiver, 0).await
}
