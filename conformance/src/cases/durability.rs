//! Durability: what was answered 2xx survives whatever is killed, however often.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::ack::Cause;
use http::StatusCode;
use serde_json::json;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::cases::AUDIT;
use crate::cases::crash::Moments;
use crate::cases::fidelity::to_http;
use crate::party::audit::Balance;
use crate::party::connector::{Link, header};
use crate::party::destination::{Destination, Manners};
use crate::party::receiver::{Receiver, Setup};
use crate::party::sender::{DELIVERY, Load};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

/// How long all that is left may take to arrive.
const DRAINED: Duration = Duration::from_secs(60);

/// How often a process is killed.
const ROUNDS: usize = 20;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "DUR-02",
        title: "a receiver that is killed under load, 20 times, loses nothing it answered 2xx",
        proves: "G14",
        needs_durability: true,
        needs: Need::Restart,
        varies: Varies::No,
        run: |stand| Box::pin(receiver_killed(stand)),
    },
    Case {
        id: "DUR-03",
        title: "a connector that is killed under load, 20 times, loses nothing",
        proves: "G14",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(connector_killed(stand)),
    },
    Case {
        id: "DUR-06",
        title: "what is older than its TTL is in the dead letters, and the audit balances",
        proves: "G12 G15",
        needs_durability: false,
        needs: Need::Settings("ttl_seconds 1"),
        varies: Varies::No,
        run: |stand| Box::pin(expiry(stand)),
    },
    Case {
        id: "DUR-07",
        title: "a full queue answers 503 with Retry-After until there is room",
        proves: "G8",
        needs_durability: false,
        needs: Need::Settings("max_queue_size 3"),
        varies: Varies::No,
        run: |stand| Box::pin(full_queue(stand)),
    },
    Case {
        id: "DUR-08",
        title: "a destination that is unreachable for 200 rounds parks nothing and gets everything",
        proves: "G6",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(unreachable(stand)),
    },
    Case {
        id: AUDIT,
        title: "the audit balances after everything that can become of a webhook, and after a restart",
        proves: "G15",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::No,
        run: |stand| Box::pin(audit(stand)),
    },
];

/// A queue that no load of these cases fills.
pub(super) fn wide() -> Setup {
    Setup::limits(json!({ "max_queue_size": 1_000_000, "max_in_flight": 200, "max_deliveries": 1000 }))
}

async fn receiver_killed(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(wide()).await?;
    let mut moments = Moments::seeded(&stand)?;
    let load = Load::start(receiver.address(), 8, 200);
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS {
        let (before, mut link) = (load.count(), receiver.link(50).await?);
        let (more, moment) = (moments.count(1..60), moments.micros(20_000));
        // Some are delivered in each round, so that kills hit settlements too.
        while load.count() < before + more {
            if let Some(delivery) = link.maybe(Duration::from_millis(20)).await? {
                seen.insert(header(&delivery.webhook, DELIVERY));
                link.deliver(&delivery).await?;
            }
        }
        tokio::time::sleep(moment).await;
        receiver.kill().await?;
        receiver.restart().await?;
    }
    let accepted = load.end().await;
    drain(&receiver, &mut seen).await?;
    let lost: Vec<_> = accepted.difference(&seen).collect();
    stand.note(format!("{} answered 2xx over {ROUNDS} kills, {} lost", accepted.len(), lost.len()));
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    let stats = receiver.stats().await?;
    stats.ensure_balance()?;
    ensure_eq("webhooks in the dead letters", &stats.count("messages_dead_lettered"), &0)
}

/// Takes and acknowledges everything that is left.
pub(super) async fn drain(receiver: &Receiver, seen: &mut BTreeSet<String>) -> Result<(), Failed> {
    let mut link = receiver.link(200).await?;
    while let Some(delivery) = link.maybe(Duration::from_secs(1)).await? {
        seen.insert(header(&delivery.webhook, DELIVERY));
        link.deliver(&delivery).await?;
    }
    let empty = |stats: &crate::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    receiver.settles("nothing is left", DRAINED, empty).await?;
    Ok(())
}

async fn connector_killed(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(wide()).await?;
    let destination = Destination::start().await?;
    let config = to_http(&receiver, &destination.url());
    let mut moments = Moments::seeded(&stand)?;
    let load = Load::start(receiver.address(), 2, 200);
    for _ in 0..ROUNDS {
        let before = destination.count();
        let (most, moment) = (moments.count(1..30), moments.micros(20_000));
        let mut connector = stand.connector(&config)?;
        until("some are delivered", Duration::from_secs(20), || {
            let more = destination.count() >= before + most;
            async move { Ok(more.then_some(())) }
        })
        .await
        .map_err(|Failed(why)| Failed(format!("{why}\n{}", connector.log().unwrap_or_default())))?;
        tokio::time::sleep(moment).await;
        connector.kill().await?;
    }
    let accepted = load.end().await;
    let mut connector = stand.connector(&config)?;
    let empty = |stats: &crate::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    let stats = receiver.settles("everything is delivered", DRAINED, empty).await?;
    let seen: BTreeSet<_> = destination.calls().iter().map(|call| call.header(DELIVERY).to_owned()).collect();
    let lost: Vec<_> = accepted.difference(&seen).collect();
    stand.note(format!("{} answered 2xx over {ROUNDS} kills, {} lost", accepted.len(), lost.len()));
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    ensure_eq("webhooks in the dead letters", &stats.count("messages_dead_lettered"), &0)?;
    connector.kill().await
}

async fn expiry(stand: Stand) -> Result<(), Failed> {
    let receiver =
        stand.receiver(Setup::limits(json!({ "ttl_seconds": 1, "ack_timeout_seconds": 2 }))).await?;
    for nth in 0..3 {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    receiver.settles("queued ones expire", SOON, |stats| stats.count("messages_expired") == 3).await?;
    let mut link = receiver.link(10).await?;
    ensure_eq("expired ones delivered", &link.maybe(Duration::from_millis(300)).await?, &None)?;
    // One in flight expires at its deadline; an acknowledgement afterwards still counts.
    receiver.accepted("flying", "1").await?;
    let flying = link.next(SOON).await?;
    receiver.settles("the one in flight expires", SOON, |stats| stats.count("messages_expired") == 4).await?;
    link.deliver(&flying).await?;
    let late =
        receiver.settles("the late one counts", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    ensure_eq("expired ones left", &late.count("messages_expired"), &3)?;
    let letters = receiver.dead_letters(0).await?;
    ensure(letters.len() == 3 && letters.iter().all(|letter| letter["state"] == "expired"), || {
        format!("three expired ones in the dead letters, found {letters:?}")
    })
}

async fn full_queue(stand: Stand) -> Result<(), Failed> {
    let by_count = stand.receiver(Setup::limits(json!({ "max_queue_size": 3 }))).await?;
    fill(&by_count, 3, "small").await?;
    let second = stand.another()?;
    let by_bytes = second.receiver(Setup::limits(json!({ "max_queue_bytes": 20_000 }))).await?;
    let room = fill(&by_bytes, 100, &"x".repeat(4_000)).await?;
    stand.note(format!("{room} webhooks of 4,000 bytes fit into 20,000 bytes"));
    ensure((3..=5).contains(&room), || format!("3 to 5 webhooks of 4,000 bytes, {room} fitted"))
}

/// Posts until the queue is full, at most `most` webhooks, then makes room and posts one more. Returns how many fitted.
async fn fill(receiver: &Receiver, most: usize, body: &str) -> Result<usize, Failed> {
    let (mut fitted, mut link) = (0, None::<Link>);
    loop {
        let answer = receiver.send(&fitted.to_string(), body.to_owned()).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            let wait =
                answer.headers.get("retry-after").and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
            ensure(wait.is_some_and(|wait| wait > 0), || "Retry-After with a 503".to_owned())?;
            break;
        }
        ensure_eq("the answer", &answer.status.as_u16(), &200)?;
        fitted += 1;
        ensure(fitted <= most, || format!("at most {most} fit"))?;
    }
    let link = match &mut link {
        Some(link) => link,
        none => none.insert(receiver.link(1).await?),
    };
    let one = link.next(SOON).await?;
    link.deliver(&one).await?;
    receiver.settles("there is room", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    receiver.accepted("more", body.to_owned()).await?;
    receiver.stats().await?.ensure_balance()?;
    Ok(fitted)
}

async fn unreachable(stand: Stand) -> Result<(), Failed> {
    let limits = json!({ "max_deliveries": 3, "ttl_seconds": 600 });
    let receiver = stand.receiver(Setup::limits(limits)).await?;
    let mut link = receiver.link(5).await?;
    for nth in 0..5 {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    for _ in 0..200 {
        let delivery = link.next(SOON).await?;
        link.give_back(&delivery, Cause::Unreachable, Some(Duration::from_millis(1))).await?;
    }
    let stats = receiver.stats().await?;
    ensure_eq("webhooks parked", &stats.count("messages_dead_lettered"), &0)?;
    for _ in 0..5 {
        let delivery = link.next(SOON).await?;
        link.deliver(&delivery).await?;
    }
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == 5).await?;
    drop(link);
    // The same with the real connector, and a destination that is down when it starts.
    let mut destination = Destination::start().await?;
    destination.go_down().await;
    let mut connector = stand.connector(&to_http(&receiver, &destination.url()))?;
    for nth in 5..25 {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    receiver.settles("the connector tries", SOON, |stats| stats.count("messages_in_flight") > 0).await?;
    destination.come_back().await?;
    destination.behave(Manners::default());
    let done = |stats: &crate::party::receiver::Stats| stats.count("messages_delivered") == 25;
    receiver
        .settles("all are delivered", DRAINED, done)
        .await
        .map_err(|Failed(why)| Failed(format!("{why}\n{}", connector.log().unwrap_or_default())))?;
    ensure_eq("webhooks parked", &receiver.stats().await?.count("messages_dead_lettered"), &0)?;
    connector.kill().await
}

/// On a channel of others, the balance is looked at after all that the other cases did.
async fn balance(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let stats = receiver.stats().await?;
    stats.ensure_balance()?;
    stand.note(format!("after all cases: {}", Balance::of(stats.told())?));
    Ok(())
}

async fn audit(stand: Stand) -> Result<(), Failed> {
    if !stand.is_own() {
        return balance(stand).await;
    }
    let limits =
        json!({ "max_queue_size": 6, "overflow": "drop_oldest", "max_deliveries": 2, "ttl_seconds": 4 });
    let mut receiver = stand.receiver(Setup::limits(limits)).await?;
    let mut link = receiver.link(3).await?;
    for nth in 0..3 {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    let (one, two, three) = (link.next(SOON).await?, link.next(SOON).await?, link.next(SOON).await?);
    link.deliver(&one).await?;
    link.reject(&two, "will never do").await?;
    link.give_back(&three, Cause::Failed, Some(Duration::from_millis(100))).await?;
    let again = link.next(SOON).await?;
    link.give_back(&again, Cause::Failed, None).await?;
    receiver.settles("both are parked", SOON, |stats| stats.count("messages_dead_lettered") == 2).await?;
    drop(link);
    for nth in 10..19 {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    receiver.settles("three are displaced", SOON, |stats| stats.count("messages_dropped") == 3).await?;
    let full = receiver.stats().await?;
    if let Some(why) = stand.no_restart() {
        stand.note(format!("the restart was left out: {why}"));
    } else {
        receiver.kill().await?;
        receiver.restart().await?;
        let after = receiver.stats().await?;
        for figure in ["accepted", "delivered", "dead_lettered", "dropped"] {
            let name = format!("messages_{figure}");
            ensure_eq(&name, &after.count(&name), &full.count(&name))?;
        }
    }
    let last =
        receiver.settles("the rest expires", SOON * 2, |stats| stats.count("messages_expired") == 6).await?;
    ensure_eq("webhooks accepted", &last.count("messages_accepted"), &12)
}
