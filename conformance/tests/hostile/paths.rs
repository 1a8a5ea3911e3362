//! Targets that try to leave their place, and ids of any length.

use conformance::case::{Failed, ensure};
use conformance::party::receiver::{CHANNEL, Setup, TOKEN, WEBHOOK};

use crate::smuggling::converse;
use crate::victim::Victim;

#[tokio::test]
async fn no_target_leads_anywhere_but_where_it_says() -> Result<(), Failed> {
    let mut victim = Victim::start(Setup::default()).await?;
    let long = "x".repeat(60_000);
    let targets = [
        ("POST", "/webhook/..%2f..".to_owned(), 404),
        ("POST", format!("/webhook/%2e%2e/{WEBHOOK}/.."), 404),
        ("POST", "/webhook/../../etc/passwd".to_owned(), 404),
        ("POST", "/webhook/..".to_owned(), 404),
        ("POST", format!("/webhook/{WEBHOOK}%00"), 404),
        ("POST", format!("/webhook/{WEBHOOK}/"), 404),
        ("POST", format!("//webhook/{WEBHOOK}"), 404),
        ("POST", format!("/webhook/{long}"), 404),
        ("POST", format!("/webhook/{}", "x".repeat(200_000)), 431),
        ("GET", "/connect/stream/..".to_owned(), 401),
        ("GET", format!("/connect/stream/../stream/{CHANNEL}/sse"), 404),
        ("GET", format!("/connect/stream/..%2f{CHANNEL}/sse"), 401),
        ("GET", format!("/connect/stream/{CHANNEL}%2fsse"), 401),
        ("GET", format!("/connect/stream/{long}"), 401),
        ("GET", format!("/connect/stream/{long}/poll"), 401),
        ("GET", format!("/connect/status/{long}"), 401),
        ("POST", format!("/connect/ack?status=ack&message_id={long}"), 404),
        ("POST", "/connect/ack?status=ack&message_id=..%2f..".to_owned(), 404),
        ("POST", format!("/connect/ack?status=ack&message_id=msg_{}", "0".repeat(64)), 404),
        ("GET", "/admin/webhook-connect/channels/../stats".to_owned(), 401),
        ("GET", "/health/..".to_owned(), 404),
    ];
    for (method, target, wanted) in targets {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 0\r\n\r\n"
        );
        let said = converse(victim.address(), request.as_bytes()).await?;
        let shown: String = target.chars().take(80).collect();
        ensure(said.statuses == [wanted], || format!("{wanted} for {shown}, found {:?}", said.statuses))?;
    }
    victim.is_well(16 << 20).await
}
