//! The proxy, against one that the test plays.

use std::sync::{Arc, Mutex};

use bytestring::ByteString;
use engine::config::Secret;
use engine::ledger::Window;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::dial::{Dialer, Through, Way};
use super::*;

fn find(url: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, String> {
    let environment =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Proxy::find(&environment, &url.to_owned().try_into().unwrap())
}

#[test]
fn the_scheme_decides_which_variable_counts() {
    let both = [("HTTP_PROXY", "plain:3128"), ("HTTPS_PROXY", "http://tls.example:8080/")];
    for (url, name) in
        [("http://a.example", "the proxy plain:3128"), ("wss://a.example", "the proxy tls.example:8080")]
    {
        assert_eq!(find(url, &both).unwrap().unwrap().name(), name);
    }
    assert!(find("https://a.example", &both[..1]).unwrap().is_none());
    assert!(find("https://a.example", &[("https_proxy", "")]).unwrap().is_none());
}

#[test]
fn exceptions_are_reached_directly() {
    for (list, url, direct) in [
        ("example.com", "https://example.com", true),
        (".example.com", "https://a.example.com", true),
        ("example.com", "https://badexample.com", false),
        ("other, *", "https://example.com", true),
        ("10.0.0.0/8", "https://10.1.2.3", true),
        ("10.0.0.1", "https://10.0.0.2", false),
        ("example.com:8443", "https://example.com", false),
        ("example.com:8443", "https://example.com:8443", true),
        ("", "https://localhost:1", true),
        ("", "https://127.0.0.1:1", true),
    ] {
        let found = find(url, &[("HTTPS_PROXY", "p"), ("NO_PROXY", list)]).unwrap();
        assert_eq!(found.is_none(), direct, "{list} {url}");
    }
}

#[test]
fn credentials_are_decoded_and_never_shown() {
    let proxy = find("https://a.example", &[("HTTPS_PROXY", "http://us%40er:p%3Ass@p:1")]).unwrap().unwrap();
    let wanted = format!("Basic {}", STANDARD.encode("us@er:p:ss"));
    assert_eq!(proxy.authorization().unwrap().to_str().unwrap(), wanted);
    assert_eq!(format!("{proxy:?}"), "the proxy p:1");
}

#[test]
fn what_is_no_proxy_is_refused_without_its_value() {
    for wrong in ["socks5://u:s3cret@p", "https://p", "http://", "http://u:%zz@p"] {
        let error = find("https://a.example", &[("HTTPS_PROXY", wrong)]).unwrap_err();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("s3cret"), "{error}");
    }
}

/// Starts a proxy that makes every tunnel to `target`, and answers other requests itself. Returns its port and the heads
/// of the requests it got.
pub(in crate::transport) async fn proxy(target: u16, answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            stream
                .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
                .unwrap();
            if head.starts_with("connect ") && answer.starts_with("200") {
                let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut stream, &mut far).await) });
            }
            seen.lock().unwrap().push(head);
        }
    });
    (port, heads)
}

fn dialer(url: &str, port: u16) -> Dialer {
    let way = Way {
        channel: ByteString::from("orders"),
        connector: ByteString::new(),
        window: Window { events: 1, bytes: 1 },
        tap: false,
        tls: None,
        network: Arc::default(),
        proxy: Proxy::parse(&format!("http://user:pass@127.0.0.1:{port}")),
    };
    Dialer::new(url.to_owned().try_into().unwrap(), Secret::new("t"), way).unwrap()
}

#[tokio::test]
async fn a_websocket_goes_through_a_tunnel_also_without_encryption() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy").await.unwrap();
    });
    let (port, heads) = proxy(target, "200 OK").await;
    let refused = dialer("http://receiver.test", port).upgrade(true).await.err().unwrap().to_string();
    assert_eq!(refused, "the receiver answered 503 Service Unavailable: busy");
    let head = heads.lock().unwrap()[0].clone();
    let authorization =
        format!("proxy-authorization: basic {}", STANDARD.encode("user:pass").to_ascii_lowercase());
    assert!(head.starts_with("connect receiver.test:80 http/1.1\r\nhost: receiver.test:80\r\n"), "{head}");
    assert!(head.contains(&authorization) && !head.contains("bearer"), "{head}");
}

#[tokio::test]
async fn plain_requests_are_given_to_the_proxy_whole() {
    let (port, heads) = proxy(0, "204 No Content").await;
    let dialer = dialer("http://receiver.test:8080/x", port);
    let mut http = dialer.open(Through::Request).await.unwrap();
    let request = dialer.request(Method::POST, "/x/connect/ack", Through::Request);
    assert_eq!(dialer.send(&mut http, request).await.unwrap().status(), StatusCode::NO_CONTENT);
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("post http://receiver.test:8080/x/connect/ack http/1.1\r\n"), "{head}");
    assert!(
        head.contains("proxy-authorization: basic ") && head.contains("host: receiver.test:8080"),
        "{head}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_credentials() {
    for (answer, told) in [
        ("407 Proxy Authentication Required", "it wants other credentials (407)"),
        ("403 Forbidden", "it answered 403 Forbidden"),
    ] {
        let (port, _) = proxy(0, answer).await;
        let refused = dialer("https://receiver.test", port).upgrade(true).await.err().unwrap().to_string();
        let wanted = format!("the proxy 127.0.0.1:{port} makes no connection to the receiver: {told}");
        assert_eq!(refused, wanted);
    }
}
