//! Which address counts as the sender's, when a proxy stands before the receiver and when somebody only says so.

use cloud::Settings;
use engine::network::Networks;
use serde_json::{Value, json};

use crate::party::http;
use crate::party::receiver::{Receiver, TOKEN};

/// Takes what comes from one address; connections come from the loopback.
fn entry(more: &Value) -> Value {
    let mut entry = json!({
        "module": "webhook_connect",
        "module-config": { "channel": "c", "channel_token": TOKEN },
        "data_type": "blob",
        "ip_whitelist": ["198.51.100.7"],
    });
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

/// A receiver of the webhook `own`, which trusts the loopback by itself, `none`, which trusts nobody, and `shared`, which
/// says nothing.
async fn receiver(trusted: &[&str]) -> Receiver {
    let webhooks = json!({
        "own": entry(&json!({ "trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"] })),
        "none": entry(&json!({ "trusted_proxies": [] })),
        "shared": entry(&json!({})),
    });
    let trusted_proxies: Networks = trusted.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>().into();
    Receiver::start_taking(&webhooks, Settings { trusted_proxies, ..Settings::default() }).await
}

async fn post(receiver: &Receiver, webhook: &str, forwarded: &[&str]) -> (u16, String) {
    let lines: Vec<_> = forwarded.iter().map(|value| format!("X-Forwarded-For: {value}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(["content-length: 0"]).collect();
    let request = http::request(&format!("POST /webhook/{webhook}"), &lines);
    http::ask(receiver.address, request.as_bytes()).await.detail()
}

fn forbidden() -> (u16, String) {
    (403, "Forbidden".to_owned())
}

#[tokio::test]
async fn what_an_untrusted_peer_says_about_its_address_is_ignored() {
    let receiver = receiver(&[]).await;
    for webhook in ["shared", "none"] {
        for forwarded in [&["198.51.100.7"][..], &["198.51.100.7, 127.0.0.1"], &[]] {
            assert_eq!(post(&receiver, webhook, forwarded).await, forbidden(), "{webhook} {forwarded:?}");
        }
    }
}

#[tokio::test]
async fn a_webhook_believes_its_own_proxies_and_else_those_of_the_receiver() {
    let (own, all) = (receiver(&[]).await, receiver(&["127.0.0.1"]).await);
    for (receiver, webhook, status) in [
        (&own, "own", 200),
        (&own, "shared", 403),
        (&all, "own", 200),
        (&all, "shared", 200),
        (&all, "none", 403),
    ] {
        assert_eq!(post(receiver, webhook, &["198.51.100.7"]).await.0, status, "{webhook}");
    }
}

#[tokio::test]
async fn what_stands_left_of_the_address_that_a_trusted_proxy_saw_never_counts() {
    let receiver = receiver(&[]).await;
    for forwarded in [
        &["198.51.100.7, 192.0.2.1"][..],
        &["198.51.100.7", "192.0.2.1"],
        &["198.51.100.7, 192.0.2.1, 10.0.0.1"],
        &["198.51.100.7, garbage"],
    ] {
        assert_eq!(post(&receiver, "own", forwarded).await, forbidden(), "{forwarded:?}");
    }
    for forwarded in
        [&["192.0.2.1, 198.51.100.7"][..], &["198.51.100.7:55, 10.0.0.1"], &["192.0.2.1", "198.51.100.7"]]
    {
        assert_eq!(post(&receiver, "own", forwarded).await.0, 200, "{forwarded:?}");
    }
}
