//! Operation: order, and an orderly end.

use std::collections::BTreeSet;
use std::time::Duration;

use schemas::wire::frame::Frame;
use serde_json::json;
use tokio::time::Instant;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::cases::fidelity::to_http;
use crate::party::connector::header;
use crate::party::destination::{Destination, Manners};
use crate::party::receiver::Setup;
use crate::party::sender::{DELIVERY, Load};
use crate::stand::Stand;

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

/// How long an orderly end may take.
const STOPPED: Duration = Duration::from_secs(15);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "ORD-01",
        title: "1,000 webhooks at window 1 arrive first in the order of their acceptance",
        proves: "G16",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::No,
        run: |stand| Box::pin(order(stand)),
    },
    Case {
        id: "SHD-01",
        title: "SIGTERM under load on both sides loses nothing and ends in time",
        proves: "G13",
        needs_durability: true,
        needs: Need::Restart,
        varies: Varies::No,
        run: |stand| Box::pin(shutdown(stand)),
    },
];

async fn order(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(Setup::default()).await?;
    // A channel that others use is loaded with no more than shows it.
    let count = if stand.is_own() { 1_000 } else { 50 };
    if count < 1_000 {
        stand.note(format!("{count} webhooks here, not 1,000"));
    }
    for nth in 0..count {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    let mut link = receiver.link(1).await?;
    let mut last = 0;
    for nth in 0..count {
        let delivery = link.next(SOON).await?;
        ensure_eq("the order", &header(&delivery.webhook, DELIVERY), &nth.to_string())?;
        let sequence = delivery.webhook.transit.sequence;
        ensure(sequence > last, || format!("a sequence above {last}, found {sequence}"))?;
        last = sequence;
        link.deliver(&delivery).await?;
    }
    if let Some(why) = stand.no_restart() {
        stand.note(format!("the restart was left out: {why}"));
        return Ok(());
    }
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == count).await?;
    receiver.kill().await?;
    receiver.restart().await?;
    receiver.accepted("after", "1").await?;
    let sequence = receiver.link(1).await?.next(SOON).await?.webhook.transit.sequence;
    ensure(sequence > last, || format!("a sequence above {last} after the restart, found {sequence}"))
}

async fn shutdown(stand: Stand) -> Result<(), Failed> {
    let limits = json!({ "max_queue_size": 1_000_000, "max_in_flight": 20 });
    let mut receiver = stand.receiver(Setup::limits(limits)).await?;
    let destination = Destination::start().await?;
    destination.behave(Manners { delay: Duration::from_millis(50), ..Manners::default() });
    let config = to_http(&receiver, &destination.url());
    let mut connector = stand.connector(&config)?;
    let load = Load::start(receiver.address(), 4, 200);
    destination.reached(50).await?;
    connector.terminate().await?;
    ensure(connector.ended(STOPPED).await?.success(), || "the connector ends with exit code 0".to_owned())?;
    let mut connector = stand.connector(&config)?;
    destination.reached(destination.count() + 50).await?;
    receiver.process()?.terminate().await?;
    let status = receiver.process()?.ended(STOPPED).await?;
    ensure(status.success(), || format!("the receiver ends with exit code 0, found {status}"))?;
    let accepted = load.end().await;
    receiver.restart().await?;
    let empty = |stats: &crate::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    receiver.settles("everything is delivered", Duration::from_secs(90), empty).await?;
    let calls = destination.calls();
    let seen: BTreeSet<_> = calls.iter().map(|call| call.header(DELIVERY).to_owned()).collect();
    let lost: Vec<_> = accepted.difference(&seen).collect();
    let twice = calls.len() - seen.len();
    stand.note(format!("{} answered 2xx, {} lost, {twice} delivered twice", accepted.len(), lost.len()));
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    ensure(twice <= 40, || format!("at most what was in flight twice, found {twice}"))?;
    connector.kill().await?;
    held_at_the_end(stand.another()?).await
}

/// What nobody settles is given back when the time is over, and holds the end up no longer than that.
async fn held_at_the_end(stand: Stand) -> Result<(), Failed> {
    let drain = json!({ "drain_seconds": 2 });
    let mut receiver = stand.receiver(Setup { receiver: drain, ..Setup::default() }).await?;
    let mut link = receiver.link(1).await?;
    let id = receiver.accepted("held", "1").await?;
    link.next(SOON).await?;
    let began = Instant::now();
    receiver.process()?.terminate().await?;
    loop {
        match link.frame(STOPPED).await? {
            Some(Frame::Bye(_)) => break,
            Some(_) => {}
            None => return Err(Failed("the connector is told goodbye".to_owned())),
        }
    }
    let status = receiver.process()?.ended(STOPPED).await?;
    let took = began.elapsed();
    ensure(status.success(), || format!("the receiver ends with exit code 0, found {status}"))?;
    ensure(took < Duration::from_secs(4), || format!("an end after 2 s, found {took:?}"))?;
    receiver.restart().await?;
    let again = receiver.link(1).await?.next(SOON).await?;
    ensure_eq("the webhook that was held", &again.webhook.id().to_string(), &id)
}
