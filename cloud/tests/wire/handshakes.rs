//! Senders that ask whether an address is the right one are answered, and bring no webhook.

use std::time::UNIX_EPOCH;

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::json;

use crate::party::http::{self, Answer};
use crate::party::receiver::{Receiver, SECRET};

/// Posts a body as Slack does.
async fn posts(receiver: &Receiver, body: &str) -> Answer {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let signature = sign(&Key::new(HMAC_SHA256, SECRET.as_bytes()), format!("v0:{now}:{body}").as_bytes());
    let head = http::request(
        "POST /webhook/slack",
        &[
            &format!("X-Slack-Request-Timestamp: {now}"),
            &format!("X-Slack-Signature: v0={}", hex(signature.as_ref())),
            &format!("Content-Length: {}", body.len()),
        ],
    );
    http::ask(receiver.address, &[head.as_bytes(), body.as_bytes()].concat()).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_plain(answer: &Answer) -> bool {
    answer.head.contains("content-type: text/plain; charset=utf-8\r\n")
        && answer.head.contains("x-content-type-options: nosniff\r\n")
}

#[tokio::test]
async fn a_handshake_is_answered_in_plain_text_and_is_no_webhook() {
    let receiver = Receiver::start(json!({})).await;
    let got = receiver.asks("GET /webhook/dropbox?challenge=abc123", &[]).await;
    assert_eq!((got.status, &*got.text, is_plain(&got)), (200, "abc123", true), "{got:?}");
    let posted = posts(&receiver, r#"{"type":"url_verification","challenge":"3eZbrw1aB"}"#).await;
    assert_eq!((posted.status, &*posted.text, is_plain(&posted)), (200, "3eZbrw1aB", true), "{posted:?}");
    assert_eq!(receiver.stats().await["messages_accepted"], 0);
    assert_eq!(posts(&receiver, r#"{"type":"event_callback"}"#).await.status, 200);
    assert_eq!(receiver.stats().await["messages_accepted"], 1);
}

#[tokio::test]
async fn an_origin_of_cloudevents_is_told_that_it_may_post_whoever_asks() {
    let receiver = Receiver::start(json!({})).await;
    let asked = receiver.asks("OPTIONS /webhook/events", &["WebHook-Request-Origin: a.example"]).await;
    assert_eq!((asked.status, &*asked.text), (200, ""));
    for line in ["webhook-allowed-origin: a.example\r\n", "webhook-allowed-rate: *\r\n", "allow: post\r\n"] {
        assert!(asked.head.contains(line), "{asked:?}");
    }
    let other = receiver.asks("OPTIONS /webhook/events", &["WebHook-Request-Origin: b.example"]).await;
    assert_eq!(other.status, 403);
    assert_eq!(receiver.asks("POST /webhook/events", &["Content-Length: 0"]).await.status, 401);
}

#[tokio::test]
async fn what_is_neither_posted_nor_a_handshake_is_turned_away() {
    let receiver = Receiver::start(json!({})).await;
    for (request, status) in [
        ("GET /webhook/dropbox", 401),
        ("GET /webhook/dropbox?challenge=%3Cscript%3E%20", 401),
        ("PUT /webhook/dropbox?challenge=a", 405),
        ("OPTIONS /webhook/dropbox?challenge=a", 405),
        ("GET /webhook/slack?challenge=a", 405),
        ("GET /webhook/json?challenge=a", 405),
        ("GET /webhook/events", 405),
        ("OPTIONS /webhook/events", 403),
        ("OPTIONS /webhook/json", 405),
        ("GET /webhook/unknown?challenge=a", 404),
    ] {
        let answer = receiver.asks(request, &[]).await;
        assert_eq!(answer.status, status, "{request}");
    }
    assert_eq!(receiver.stats().await["messages_accepted"], 0);
}
