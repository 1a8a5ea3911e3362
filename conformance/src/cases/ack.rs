//! Acknowledgements: what they remove, what their absence brings back, and when.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use engine::ack::Cause;
use serde_json::json;
use tokio::time::Instant;

use crate::case::{Case, Failed, ensure, ensure_eq};
use crate::party::receiver::Setup;
use crate::party::sender;
use crate::stand::Stand;

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

/// How long is waited for something that must not happen.
const NEVER: Duration = Duration::from_millis(700);

pub(super) const CASES: &[Case] = &[
    Case {
        id: "ACK-01",
        title: "what was acknowledged is gone, also after a restart",
        proves: "G2",
        needs_durability: false,
        run: |stand| Box::pin(ack_removes(stand)),
    },
    Case {
        id: "ACK-02",
        title: "a cut connection returns its webhooks to the next one at once",
        proves: "G2 G5 G17",
        needs_durability: false,
        run: |stand| Box::pin(cut_returns(stand)),
    },
    Case {
        id: "ACK-03",
        title: "a webhook given back with a delay comes again after it, also after a restart",
        proves: "G6",
        needs_durability: false,
        run: |stand| Box::pin(delay_is_kept(stand)),
    },
    Case {
        id: "ACK-04",
        title: "a rejected webhook is in the dead letters with its reason and nowhere else",
        proves: "G6",
        needs_durability: false,
        run: |stand| Box::pin(reject_parks(stand)),
    },
    Case {
        id: "ACK-05",
        title: "a silent connector is overtaken, and its late acknowledgement counts",
        proves: "G7",
        needs_durability: false,
        run: |stand| Box::pin(deadline(stand)),
    },
    Case {
        id: "ACK-06",
        title: "a sign of progress holds the deadline",
        proves: "G7",
        needs_durability: false,
        run: |stand| Box::pin(progress(stand)),
    },
    Case {
        id: "ACK-09",
        title: "connectors share a channel, and what one leaves the other gets",
        proves: "G5 G9",
        needs_durability: false,
        run: |stand| Box::pin(competing(stand)),
    },
    Case {
        id: "ACK-10",
        title: "no more is unsettled than the window allows",
        proves: "G8",
        needs_durability: false,
        run: |stand| Box::pin(windows(stand)),
    },
    Case {
        id: "ACK-11",
        title: "a poison webhook is parked in the end, and others pass it",
        proves: "G9",
        needs_durability: false,
        run: |stand| Box::pin(poison(stand)),
    },
];

async fn ack_removes(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(10).await?;
    let id = sender::accepted(receiver.address(), "a", "1").await?;
    let delivery = link.next(SOON).await?;
    ensure_eq("the id of the webhook", &delivery.webhook.id().to_string(), &id)?;
    link.deliver(&delivery).await?;
    receiver
        .settles("the webhook is delivered", SOON, |stats| stats.count("messages_delivered") == 1)
        .await?;
    drop(link);
    ensure_eq("webhooks delivered again", &receiver.link(10).await?.maybe(NEVER).await?, &None)?;
    if !stand.is_durable() {
        stand.note("the restart was left out: this buffer does not survive one");
        return Ok(());
    }
    receiver.kill().await?;
    receiver.restart().await?;
    ensure_eq("webhooks delivered after a restart", &receiver.link(10).await?.maybe(NEVER).await?, &None)?;
    receiver.settles("the figures survive", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    Ok(())
}

async fn cut_returns(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let mut first = receiver.link(10).await?;
    sender::accepted(receiver.address(), "a", &b"\x00 same bytes \xff"[..]).await?;
    let one = first.next(SOON).await?;
    let mut second = receiver.link(10).await?;
    let cut = Instant::now();
    drop(first);
    let again = second.next(Duration::from_secs(1)).await?;
    stand.note(format!("redelivered {} ms after the cut", cut.elapsed().as_millis()));
    ensure_eq("the id", &again.webhook.id(), &one.webhook.id())?;
    ensure_eq("the attempt", &again.webhook.transit.attempt, &2)?;
    ensure_eq("the sequence", &again.webhook.transit.sequence, &one.webhook.transit.sequence)?;
    ensure_eq("the body", &again.webhook.body, &one.webhook.body)?;
    second.deliver(&again).await?;
    receiver.settles("it is delivered once", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    Ok(())
}

async fn delay_is_kept(stand: Stand) -> Result<(), Failed> {
    let delay = Duration::from_secs(2);
    let mut receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(10).await?;
    sender::accepted(receiver.address(), "a", "1").await?;
    let one = link.next(SOON).await?;
    let given_back = Instant::now();
    link.give_back(&one, Cause::Failed, Some(delay)).await?;
    let again = link.next(SOON).await?;
    ensure_within(&stand, given_back.elapsed())?;
    ensure_eq("the attempt", &again.webhook.transit.attempt, &2)?;
    if !stand.is_durable() {
        stand.note("the restart was left out: this buffer does not survive one");
        return Ok(());
    }
    let given_back = Instant::now();
    link.give_back(&again, Cause::Unreachable, Some(delay)).await?;
    // Until the store has it, a crash would bring the webhook back at once.
    receiver.settles("it waits", SOON, |stats| stats.count("messages_in_flight") == 0).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    receiver.kill().await?;
    receiver.restart().await?;
    let mut link = receiver.link(10).await?;
    let third = link.next(SOON).await?;
    ensure_within(&stand, given_back.elapsed())?;
    ensure_eq("the attempt after the restart", &third.webhook.transit.attempt, &3)
}

/// A delay of 2 s ends between 2 s and 3 s.
fn ensure_within(stand: &Stand, elapsed: Duration) -> Result<(), Failed> {
    stand.note(format!("delivered again after {} ms", elapsed.as_millis()));
    let fits = elapsed >= Duration::from_millis(1_990) && elapsed <= Duration::from_secs(3);
    ensure(fits, || format!("wanted between 2 s and 3 s, came after {elapsed:?}"))
}

async fn reject_parks(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(10).await?;
    let id = sender::accepted(receiver.address(), "a", "1").await?;
    let one = link.next(SOON).await?;
    link.reject(&one, "no such table").await?;
    receiver.settles("it is parked", SOON, |stats| stats.count("messages_dead_lettered") == 1).await?;
    ensure_eq("webhooks delivered again", &link.maybe(NEVER).await?, &None)?;
    let letters = receiver.dead_letters().await?;
    ensure_eq("dead letters", &letters.len(), &1)?;
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    ensure(letters[0]["message_id"] == json!(id) && reason.contains("no such table"), || {
        format!("a dead letter with its id and reason, found {}", letters[0])
    })
}

async fn deadline(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "ack_timeout_seconds": 1 }))).await?;
    let mut silent = receiver.link(10).await?;
    sender::accepted(receiver.address(), "a", "1").await?;
    let one = silent.next(SOON).await?;
    let began = Instant::now();
    let mut other = receiver.link(10).await?;
    let again = other.next(SOON).await?;
    let after = began.elapsed();
    stand.note(format!("delivered again after {} ms", after.as_millis()));
    ensure(after >= Duration::from_millis(900), || format!("not before 1 s, came after {after:?}"))?;
    ensure_eq("the id", &again.webhook.id(), &one.webhook.id())?;
    silent.deliver(&one).await?;
    receiver.settles("the late acknowledgement counts", SOON, |s| s.count("messages_delivered") == 1).await?;
    // The second holder learns nothing; its own acknowledgement changes nothing.
    other.deliver(&again).await?;
    ensure_eq("third deliveries", &other.maybe(Duration::from_millis(2_500)).await?, &None)?;
    receiver.settles("it counts once", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    Ok(())
}

async fn progress(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "ack_timeout_seconds": 1 }))).await?;
    let mut busy = receiver.link(10).await?;
    sender::accepted(receiver.address(), "a", "1").await?;
    let one = busy.next(SOON).await?;
    let mut other = receiver.link(10).await?;
    for _ in 0..8 {
        busy.progress(&one).await?;
        ensure_eq("deliveries to another", &other.maybe(Duration::from_millis(300)).await?, &None)?;
    }
    busy.deliver(&one).await?;
    receiver.settles("it is delivered", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    ensure_eq("deliveries to another", &other.maybe(Duration::from_millis(1_500)).await?, &None)
}

async fn competing(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let (mut quick, mut slow) = (receiver.link(4).await?, receiver.link(4).await?);
    for nth in 0..40 {
        sender::accepted(receiver.address(), &nth.to_string(), "1").await?;
    }
    // The slow one takes its window and settles nothing; the other gets everything else.
    let mut held = Vec::new();
    while let Some(delivery) = slow.maybe(NEVER).await? {
        held.push(delivery);
    }
    ensure_eq("what the slow one holds", &held.len(), &4)?;
    let mut seen = BTreeMap::new();
    for _ in 0..36 {
        let delivery = quick.next(SOON).await?;
        *seen.entry(delivery.webhook.id()).or_insert(0) += 1;
        quick.deliver(&delivery).await?;
    }
    ensure(held.iter().all(|delivery| !seen.contains_key(&delivery.webhook.id())), || {
        "no webhook at two connectors at once".to_owned()
    })?;
    drop(slow);
    for _ in 0..4 {
        let delivery = quick.next(Duration::from_secs(1)).await?;
        ensure_eq("the attempt of what the dead one left", &delivery.webhook.transit.attempt, &2)?;
        *seen.entry(delivery.webhook.id()).or_insert(0) += 1;
        quick.deliver(&delivery).await?;
    }
    ensure(seen.len() == 40 && seen.values().all(|times| *times == 1), || {
        format!("each once, found {seen:?}")
    })?;
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == 40).await?;
    Ok(())
}

async fn windows(stand: Stand) -> Result<(), Failed> {
    let limits = json!({ "max_in_flight": 1000, "max_queue_size": 5000 });
    let receiver = stand.receiver(Setup::limits(limits)).await?;
    for nth in 0..1_100 {
        sender::accepted(receiver.address(), &nth.to_string(), "1").await?;
    }
    for window in [1, 10, 1_000] {
        let mut link = receiver.link(window).await?;
        let mut held = Vec::new();
        while let Some(delivery) = link.maybe(NEVER).await? {
            held.push(delivery);
        }
        ensure_eq("webhooks unsettled", &held.len(), &window)?;
        link.deliver(&held[0]).await?;
        link.next(SOON).await?;
        ensure_eq("webhooks beyond the window", &link.maybe(Duration::from_millis(300)).await?, &None)?;
    }
    Ok(())
}

async fn poison(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "max_deliveries": 3 }))).await?;
    let mut link = receiver.link(2).await?;
    let bad = sender::accepted(receiver.address(), "bad", "1").await?;
    for nth in 0..20 {
        sender::accepted(receiver.address(), &nth.to_string(), "1").await?;
    }
    let (mut good, mut tries) = (0, 0);
    let began = SystemTime::now();
    while good < 20 || tries < 3 {
        let delivery = link.next(SOON).await?;
        if delivery.webhook.id().to_string() == bad {
            tries += 1;
            link.give_back(&delivery, Cause::Failed, Some(Duration::from_millis(50))).await?;
        } else {
            good += 1;
            link.deliver(&delivery).await?;
        }
        ensure(began.elapsed().is_ok_and(|elapsed| elapsed < Duration::from_secs(20)), || {
            format!("20 good ones and 3 tries, found {good} and {tries}")
        })?;
    }
    receiver.settles("it is parked", SOON, |stats| stats.count("messages_dead_lettered") == 1).await?;
    ensure_eq("deliveries past the limit", &link.maybe(NEVER).await?, &None)?;
    receiver.settles("others passed", SOON, |stats| stats.count("messages_delivered") == 20).await?;
    Ok(())
}
