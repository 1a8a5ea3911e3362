//! The destination against a real HTTP server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use engine::ack::{Cause, Reason};
use engine::kind::Kind;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::testing::{context, parse, webhook};

/// A request as the server saw it.
#[derive(Debug)]
struct Seen {
    from: SocketAddr,
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A server that answers every request with `answer`, or never.
struct Server {
    address: SocketAddr,
    seen: mpsc::Receiver<Seen>,
}

impl Server {
    async fn start(answer: Option<Response<&'static str>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (tell, answer) = (tell.clone(), answer.clone());
                let service = service_fn(move |request| reply(request, from, tell.clone(), answer.clone()));
                tokio::spawn(async move {
                    // The client may cut the connection, which some tests are about.
                    drop(
                        auto::Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=planted", self.address)
    }
}

async fn reply(
    request: Request<Incoming>,
    from: SocketAddr,
    tell: mpsc::Sender<Seen>,
    answer: Option<Response<&'static str>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let line = format!("{} {} {:?}", head.method, head.uri, head.version);
    let body = body.collect().await.unwrap().to_bytes();
    tell.send(Seen { from, line, headers: head.headers, body }).await.unwrap();
    match answer {
        Some(answer) => Ok(answer.map(|text| Full::new(Bytes::from_static(text.as_bytes())))),
        None => std::future::pending().await,
    }
}

fn status(status: u16) -> Option<Response<&'static str>> {
    Some(Response::builder().status(status).body("an answer nobody keeps").unwrap())
}

async fn caller(settings: Value) -> Caller {
    let settings: HttpWebhook = parse(settings);
    settings.open(&context().0).await.unwrap()
}

/// Returns cause, symptom and words of a transient failure.
fn transient(failure: Failure) -> (Cause, Option<Symptom>, Reason) {
    match failure {
        Failure::Transient { cause, reason, .. } => (cause, reason.symptom(), reason),
        Failure::Permanent { reason } => panic!("permanent: {reason}"),
    }
}

#[tokio::test]
async fn the_body_arrives_byte_for_byte() {
    let mut server = Server::start(status(204)).await;
    let caller = caller(json!({"url": server.url(), "method": "PUT", "headers": {"X-Key": "k"}})).await;
    let body: Vec<u8> = (0..10_485_760_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let sent = webhook(&[("Content-Type", b"application/octet-stream"), ("Host", b"relay.example")], &body);
    caller.deliver(std::slice::from_ref(&sent)).await.unwrap();
    let seen = server.seen.recv().await.unwrap();
    assert_eq!(seen.line, "PUT /hook?token=planted HTTP/1.1");
    assert_eq!(seen.headers["host"], server.address.to_string());
    assert_eq!(seen.headers["content-length"], "10485760");
    assert_eq!(seen.headers["content-type"], "application/octet-stream");
    assert_eq!(
        (&seen.headers["x-key"], seen.headers["webhook-id"].to_str().unwrap()),
        (&"k".parse().unwrap(), sent.id().to_string().as_str())
    );
    assert!(seen.body == sent.body, "the body changed");
}

#[tokio::test]
async fn an_empty_body_is_sent_as_one() {
    let mut server = Server::start(status(200)).await;
    caller(json!({"url": server.url()})).await.deliver(&[webhook(&[], b"")]).await.unwrap();
    let seen = server.seen.recv().await.unwrap();
    assert_eq!(
        (seen.line.as_str(), &seen.headers["content-length"], seen.body.len()),
        ("POST /hook?token=planted HTTP/1.1", &"0".parse().unwrap(), 0)
    );
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut server = Server::start(status(500)).await;
    let caller = caller(json!({"url": server.url()})).await;
    for _ in 0..2 {
        assert_eq!(transient(caller.deliver(&[webhook(&[], b"{}")]).await.unwrap_err()).0, Cause::Failed);
    }
    let (first, second) = (server.seen.recv().await.unwrap(), server.seen.recv().await.unwrap());
    assert_eq!(first.from, second.from);
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_unreachable_for_that_long() {
    let answer = Response::builder().status(503).header("retry-after", "120").body("").unwrap();
    let server = Server::start(Some(answer)).await;
    let failure = caller(json!({"url": server.url()})).await.deliver(&[webhook(&[], b"")]).await.unwrap_err();
    let reason =
        Reason::new("the destination answered 503 Service Unavailable").showing(Symptom::Status(503));
    let retry_after = Some(Duration::from_secs(120));
    assert_eq!(failure, Failure::Transient { cause: Cause::Unreachable, retry_after, reason });
}

#[tokio::test]
async fn a_refused_webhook_is_permanent() {
    let server = Server::start(status(422)).await;
    let failure = caller(json!({"url": server.url()})).await.deliver(&[webhook(&[], b"")]).await.unwrap_err();
    let reason =
        Reason::new("the destination answered 422 Unprocessable Entity").showing(Symptom::Status(422));
    assert_eq!(failure, Failure::Permanent { reason });
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_unreachable_and_the_reason_keeps_the_url_s_secret() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let caller = caller(json!({"url": format!("http://{free}/?token=planted")})).await;
    let (cause, symptom, reason) = transient(caller.deliver(&[webhook(&[], b"")]).await.unwrap_err());
    assert_eq!((cause, symptom), (Cause::Unreachable, Some(Symptom::Connect)));
    assert!(
        reason.as_str().starts_with("cannot connect: ") && !reason.as_str().contains("planted"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_timeout() {
    let mut server = Server::start(None).await;
    let caller = caller(json!({"url": server.url(), "timeout": 0.2})).await;
    let begun = Instant::now();
    let (cause, symptom, reason) = transient(caller.deliver(&[webhook(&[], b"")]).await.unwrap_err());
    assert_eq!(
        (cause, symptom, reason.as_str()),
        (Cause::Unreachable, Some(Symptom::Silence), "no answer within 0.2 s")
    );
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(server.seen.recv().await.is_some(), "the request was sent");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap() > 0);
            drop(stream);
        }
    });
    let caller = caller(json!({"url": format!("http://{address}/")})).await;
    let (cause, symptom, _) = transient(caller.deliver(&[webhook(&[], b"{}")]).await.unwrap_err());
    assert_eq!((cause, symptom), (Cause::Unreachable, Some(Symptom::Silence)));
}

#[tokio::test]
async fn an_answer_whose_body_never_ends_counts_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nfront";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
        std::future::pending::<()>().await;
    });
    let caller = caller(json!({"url": format!("http://{address}/")})).await;
    caller.deliver(&[webhook(&[], b"{}")]).await.unwrap();
}

/// Returns what is wrong with settings.
fn faults<D: Destination>(settings: Value) -> Vec<String> {
    crate::testing::faults(&settings, Kind::destination::<D>())
}

#[test]
fn a_host_that_is_not_allowed_is_a_fault() {
    let faults =
        |host: &str| faults::<HttpWebhook>(json!({"url": "http://localhost:1/", "allowed_hosts": [host]}));
    assert_eq!(faults("LOCALHOST"), Vec::<String>::new());
    assert_eq!(faults("example.com"), ["/url: the host is not among `allowed_hosts`"]);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for settings in [
        json!({}),
        json!({"url": "/path"}),
        json!({"url": "ftp://host/"}),
        json!({"url": "http://user:pass@host/"}),
        json!({"url": "http://host/", "method": "GET"}),
        json!({"url": "http://host/", "timeout": 0}),
        json!({"url": "http://host/", "timeout": -1}),
        json!({"url": "http://host/", "timeout": 1e9}),
        json!({"url": "http://host/", "headers": {"Transfer-Encoding": "chunked"}}),
        json!({"url": "http://host/", "allowed_headers": ["a b"]}),
        json!({"url": "http://host/", "urll": 1}),
    ] {
        assert_eq!(faults::<HttpWebhook>(settings.clone()).len(), 1, "{settings}");
    }
}
