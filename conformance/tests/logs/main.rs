//! The lines that tell each webhook's way, on both ends, and what must never stand in a log.

mod lost_receiver;

use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::destination::{Destination, Manners};
use conformance::party::receiver::{ADMIN, CHANNEL, SECRET, Setup, TOKEN, WEBHOOK};
use conformance::stand::{Buffer, Stand, built_binary};
use http::StatusCode;
use serde_json::json;

/// A text that stands in a body and nowhere else.
const BODY: &str = "the body of a webhook, which no log may show";

/// A secret that the connector sends to its destination.
const API_KEY: &str = "api key of the destination";

#[tokio::test]
async fn both_ends_tell_each_webhooks_way_and_show_no_body_and_no_secret() -> Result<(), Failed> {
    let stand = Stand::new(built_binary()?, Buffer::Embedded)?;
    let mut receiver = stand.receiver(Setup::default()).await?;
    let destination = Destination::start().await?;
    let config = json!({
        "cloud": { "url": format!("http://{}", receiver.address()), "token": TOKEN },
        "routes": { CHANNEL: { "module": "http_webhook", "module-config": {
            "url": destination.url(), "headers": { "x-api-key": API_KEY },
        }}},
    });
    let connector = stand.connector(&config)?;
    let good = receiver.accepted("good", BODY).await?;
    let most = Duration::from_secs(10);
    receiver.settles("it is delivered", most, |stats| stats.count("messages_delivered") == 1).await?;
    destination.behave(Manners { status: StatusCode::UNPROCESSABLE_ENTITY, ..Manners::default() });
    let bad = receiver.accepted("bad", BODY).await?;
    receiver.settles("it is parked", most, |stats| stats.count("messages_dead_lettered") == 1).await?;
    let forged = receiver.send("forged", "unsigned as it stands").await?;
    ensure_eq("a signed one", &forged.status.as_u16(), &200)?;
    let (near, far) = (receiver.process()?.log()?, connector.log()?);
    let line = |log: &str, id: &str, what: &str| {
        log.lines().any(|line| {
            line.contains("webhook_connect::flow")
                && line.contains(id)
                && line.contains(what)
                && line.contains("ms=")
                || line.contains("webhook_connect::flow")
                    && line.contains(id)
                    && line.contains(what)
                    && what == "parked"
        })
    };
    for (id, what) in [(&good, "accepted"), (&good, "delivered"), (&bad, "accepted"), (&bad, "parked")] {
        ensure(line(&near, id, what), || format!("the receiver tells that {id} was {what}:\n{near}"))?;
    }
    ensure(line(&far, &good, "delivered"), || {
        format!("the connector tells that {good} was delivered:\n{far}")
    })?;
    ensure(line(&far, &bad, ""), || format!("the connector tells what became of {bad}:\n{far}"))?;
    let whole =
        near.lines().find(|line| line.contains(&good) && line.contains("accepted")).unwrap_or_default();
    for field in [
        format!("webhook={WEBHOOK}"),
        format!("channel={CHANNEL}"),
        format!("bytes={}", BODY.len()),
        "ms=".to_owned(),
    ] {
        ensure(whole.contains(&field), || format!("{field} in: {whole}"))?;
    }
    for secret in [BODY, TOKEN, SECRET, ADMIN, API_KEY] {
        for log in [&near, &far] {
            ensure(!log.contains(secret), || format!("a log shows `{secret}`:\n{log}"))?;
        }
    }
    Ok(())
}
