//! What an entry says about its requests and about the answer to them.

use cloud::Settings;
use serde_json::{Value, json};

use crate::party::http::{self, Answer};
use crate::party::receiver::{Receiver, TOKEN, authorization};

/// Starts a receiver that takes the webhook `w`, whose entry has these keys.
async fn receiver(keys: Value) -> Receiver {
    let mut entry = json!({
        "module": "webhook_connect", "module-config": { "channel": "c", "channel_token": TOKEN }, "data_type": "blob",
    });
    for (key, value) in keys.as_object().unwrap() {
        entry[key] = value.clone();
    }
    Receiver::start_taking(&json!({ "w": entry }), Settings::default()).await
}

/// Sends a request with this body, whose length is announced.
async fn send(receiver: &Receiver, method: &str, lines: &[&str], body: &str) -> Answer {
    let length = format!("content-length: {}", body.len());
    let head = http::request(&format!("{method} /webhook/w"), &[lines, &[&length]].concat());
    http::ask(receiver.address, [head.as_bytes(), body.as_bytes()].concat().as_slice()).await
}

#[tokio::test]
async fn an_entry_says_which_methods_are_taken() {
    let receiver = receiver(json!({ "methods": ["PUT", "GET"] })).await;
    let refused = send(&receiver, "POST", &[], "x").await;
    assert_eq!(refused.detail(), (405, "this method is not taken here".to_owned()));
    assert!(refused.head.contains("\r\nallow: put, get\r\n"), "{}", refused.head);
    assert_eq!(send(&receiver, "PUT", &[], "x").await.status, 200);
    assert_eq!(receiver.asks("GET /webhook/w?challenge=1", &[]).await.status, 200);
    receiver.comes_to("messages_queued", 2).await;
}

#[tokio::test]
async fn without_a_word_about_methods_webhooks_are_posted() {
    let receiver = receiver(json!({})).await;
    let refused = send(&receiver, "PUT", &[], "x").await;
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("\r\nallow: post\r\n"), "{}", refused.head);
}

#[tokio::test]
async fn an_entry_says_which_media_types_are_taken() {
    let receiver = receiver(json!({ "content_types": ["application/json", "text/*"] })).await;
    for taken in ["content-type: application/json; charset=utf-8", "content-type: Text/Plain"] {
        assert_eq!(send(&receiver, "POST", &[taken], "{}").await.status, 200, "{taken}");
    }
    let refused = send(&receiver, "POST", &["content-type: image/png"], "x").await;
    assert_eq!(refused.detail(), (415, "this content type is not taken here".to_owned()));
    assert_eq!(send(&receiver, "POST", &[], "x").await.status, 415);
}

#[tokio::test]
async fn a_body_that_an_entry_does_not_take_is_refused_before_it_is_read() {
    let receiver = receiver(json!({ "max_body_bytes": 4 })).await;
    assert_eq!(send(&receiver, "POST", &[], "four").await.status, 200);
    // Nothing follows the head, and the answer comes all the same.
    let announced = http::request("POST /webhook/w", &["content-length: 5"]);
    let refused = http::ask(receiver.address, announced.as_bytes()).await;
    assert_eq!(refused.detail(), (413, "the body is too large".to_owned()));
    let head = http::request("POST /webhook/w", &["transfer-encoding: chunked"]);
    let pieces = format!("{head}3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    assert_eq!(http::ask(receiver.address, pieces.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn an_entry_says_what_senders_are_answered() {
    let response =
        json!({ "status": 202, "headers": { "X-Seen": "yes", "Content-Type": "text/xml" }, "body": "<ok/>" });
    let receiver = receiver(json!({ "response": response })).await;
    let answer = send(&receiver, "POST", &[], "x").await;
    assert_eq!((answer.status, answer.text.as_str()), (202, "<ok/>"));
    for line in ["x-seen: yes", "content-type: text/xml", "webhook-connect-version: "] {
        assert!(answer.head.contains(&format!("\r\n{line}")), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_sender_over_its_limit_is_told_when_to_come_again() {
    let receiver = receiver(json!({ "rate_limit": { "max_requests": 1, "window_seconds": 3600 } })).await;
    assert_eq!(send(&receiver, "POST", &[], "x").await.status, 200);
    let refused = send(&receiver, "POST", &[], "x").await;
    assert_eq!(refused.detail(), (429, "Too many requests".to_owned()));
    assert!(refused.head.contains("\r\nretry-after: 3600\r\n"), "{}", refused.head);
    receiver.comes_to("messages_queued", 1).await;
}

#[tokio::test]
async fn a_body_that_does_not_match_its_schema_is_answered_with_the_place_and_not_stored() {
    let schema = json!({ "properties": { "_amount": { "minimum": 0 } } });
    let receiver = receiver(json!({ "json_schema": schema })).await;
    let refused = send(&receiver, "POST", &[], r#"{"_amount": -31337}"#).await;
    let text = "the body does not match the schema: `minimum` fails at /_amount";
    assert_eq!(refused.detail(), (422, text.to_owned()));
    assert_eq!(
        send(&receiver, "POST", &[], "no JSON").await.detail(),
        (400, "Malformed JSON payload".to_owned())
    );
    assert_eq!(send(&receiver, "POST", &[], r#"{"_amount": 5}"#).await.status, 200);
    receiver.comes_to("messages_queued", 1).await;
}

#[tokio::test]
async fn credentials_are_judged_as_they_were_sent_and_not_stored() {
    let receiver = receiver(json!({
        "data_type": "json", "authorization": "Bearer sender", "credential_cleanup": {},
        "json_schema": { "properties": { "pin_token": { "maxLength": 4 } } },
    }))
    .await;
    let lines = ["authorization: Bearer sender", "x-kind: one"];
    assert_eq!(send(&receiver, "POST", &lines[1..], "{}").await.status, 401);
    let sent = r#"{ "pin_token": "1234", "n": 1.50, "n": [ ] }"#;
    assert_eq!(send(&receiver, "POST", &lines, sent).await.status, 200);
    let polled = receiver.asks("GET /connect/stream/c/poll?timeout=5", &[&authorization()]).await;
    let left = r#""payload":{ "pin_token": "***REDACTED***", "n": 1.50, "n": [ ] },"#;
    assert!(polled.text.contains(left), "{polled:?}");
    let headers = &polled.json()["messages"][0]["headers"];
    assert_eq!((&headers["authorization"], &headers["x-kind"]), (&json!("***REDACTED***"), &json!("one")));
    let metrics = receiver.asks("GET /metrics", &[]).await.text;
    let counted = r#"webhook_connect_cleaned_total{place="c.buffer",kind="credential_cleanup"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
}
