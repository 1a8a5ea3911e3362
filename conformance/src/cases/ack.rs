//! Acknowledgements: what they remove, what their absence brings back, and when.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use engine::ack::Cause;
use engine::webhook::Id;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::compatible;
use crate::party::receiver::{CHANNEL, Setup, TOKEN};
use crate::party::transport::Transport;
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
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(ack_removes(stand)),
    },
    Case {
        id: "ACK-02",
        title: "a cut connection returns its webhooks to the next one at once",
        proves: "G2 G5 G17",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(cut_returns(stand)),
    },
    Case {
        id: "ACK-03",
        title: "a webhook given back with a delay comes again after it, also after a restart",
        proves: "G6",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(delay_is_kept(stand)),
    },
    Case {
        id: "ACK-04",
        title: "a rejected webhook is in the dead letters with its reason and nowhere else",
        proves: "G6",
        needs_durability: false,
        needs: Need::Admin,
        varies: Varies::All,
        run: |stand| Box::pin(reject_parks(stand)),
    },
    Case {
        id: "ACK-05",
        title: "a silent connector is overtaken, and its late acknowledgement counts",
        proves: "G7",
        needs_durability: false,
        needs: Need::Deadline,
        varies: Varies::All,
        run: |stand| Box::pin(deadline(stand)),
    },
    Case {
        id: "ACK-06",
        title: "a sign of progress holds the deadline",
        proves: "G7",
        needs_durability: false,
        needs: Need::Deadline,
        varies: Varies::All,
        run: |stand| Box::pin(progress(stand)),
    },
    Case {
        id: "ACK-07",
        title: "an acknowledgement on another connection of the channel counts",
        proves: "G2",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(elsewhere(stand)),
    },
    Case {
        id: "ACK-08",
        title: "unknown, malformed and repeated acknowledgements change nothing, and the stream lives on",
        proves: "G8",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(nonsense(stand)),
    },
    Case {
        id: "ACK-12",
        title: "what a poll returned is a lease: acknowledged later, bounded, and back after the deadline",
        proves: "G2",
        needs_durability: false,
        needs: Need::Settings("ack_timeout_seconds 2"),
        varies: Varies::OnlyLongPoll,
        run: |stand| Box::pin(lease(stand)),
    },
    Case {
        id: "ACK-09",
        title: "connectors share a channel, and what one leaves the other gets",
        proves: "G5 G9",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::No,
        run: |stand| Box::pin(competing(stand)),
    },
    Case {
        id: "ACK-10",
        title: "no more is unsettled than the window allows",
        proves: "G8",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(windows(stand)),
    },
    Case {
        id: "ACK-11",
        title: "a poison webhook is parked in the end, and others pass it",
        proves: "G9",
        needs_durability: false,
        needs: Need::Settings("max_deliveries 3"),
        varies: Varies::No,
        run: |stand| Box::pin(poison(stand)),
    },
];

async fn ack_removes(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(10).await?;
    let id = receiver.accepted("a", "1").await?;
    let delivery = link.next(SOON).await?;
    ensure_eq("the id of the webhook", &delivery.webhook.id().to_string(), &id)?;
    link.deliver(&delivery).await?;
    receiver
        .settles("the webhook is delivered", SOON, |stats| stats.count("messages_delivered") == 1)
        .await?;
    drop(link);
    ensure_eq("webhooks delivered again", &receiver.link(10).await?.maybe(NEVER).await?, &None)?;
    if let Some(why) = stand.no_restart() {
        stand.note(format!("the restart was left out: {why}"));
        return Ok(());
    }
    receiver.kill().await?;
    receiver.restart().await?;
    ensure_eq("webhooks delivered after a restart", &receiver.link(10).await?.maybe(NEVER).await?, &None)?;
    receiver.settles("the figures survive", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    Ok(())
}

async fn cut_returns(stand: Stand) -> Result<(), Failed> {
    // On long poll nothing tells that the connector has gone but the deadline.
    let is_poll = stand.transport() == Transport::LongPoll;
    if is_poll && !stand.is_own() {
        stand.leave_out("nothing but the deadline tells that a poller has gone, which ACK-05 waits for");
        return Ok(());
    }
    let limits = if is_poll { json!({ "ack_timeout_seconds": 1 }) } else { json!({}) };
    let receiver = stand.receiver(Setup::limits(limits)).await?;
    let mut first = receiver.link(10).await?;
    receiver.accepted("a", &b"{ \"same\" : \"bytes\",\n\"same\":1 }"[..]).await?;
    let one = first.next(SOON).await?;
    let mut second = receiver.link(10).await?;
    let cut = Instant::now();
    drop(first);
    let again = second.next(Duration::from_secs(if is_poll { 3 } else { 1 })).await?;
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
    receiver.accepted("a", "1").await?;
    let one = link.next(SOON).await?;
    let given_back = Instant::now();
    link.give_back(&one, Cause::Failed, Some(delay)).await?;
    let again = link.next(SOON).await?;
    ensure_within(&stand, given_back.elapsed())?;
    ensure_eq("the attempt", &again.webhook.transit.attempt, &2)?;
    if let Some(why) = stand.no_restart() {
        stand.note(format!("the restart was left out: {why}"));
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
    let id = receiver.accepted("a", "1").await?;
    let one = link.next(SOON).await?;
    link.reject(&one, "no such table").await?;
    receiver.settles("it is parked", SOON, |stats| stats.count("messages_dead_lettered") == 1).await?;
    ensure_eq("webhooks delivered again", &link.maybe(NEVER).await?, &None)?;
    let letters = receiver.dead_letters(one.webhook.transit.sequence.saturating_sub(1)).await?;
    let found = letters.iter().find(|letter| letter["message_id"] == json!(id));
    let reason = found.and_then(|letter| letter["reason"].as_str()).unwrap_or_default();
    ensure(reason.contains("no such table"), || {
        format!(
            "the dead letter {id} with the reason `no such table`: found {found:?} among {}",
            letters.len()
        )
    })
}

async fn deadline(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "ack_timeout_seconds": 1 }))).await?;
    let mut silent = receiver.link(10).await?;
    receiver.accepted("a", "1").await?;
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
    let told = other.deliver(&again).await;
    ensure(told.is_ok() || stand.transport().settles_by_http(), || {
        format!("an end of the stream: {told:?}")
    })?;
    ensure_eq("third deliveries", &other.maybe(Duration::from_millis(2_500)).await?, &None)?;
    receiver.settles("it counts once", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    Ok(())
}

async fn progress(stand: Stand) -> Result<(), Failed> {
    // A poll lasts a second at least.
    let seconds = if stand.transport() == Transport::LongPoll { 2 } else { 1 };
    let receiver = stand.receiver(Setup::limits(json!({ "ack_timeout_seconds": seconds }))).await?;
    let mut busy = receiver.link(10).await?;
    receiver.accepted("a", "1").await?;
    let one = busy.next(SOON).await?;
    let mut other = receiver.link(10).await?;
    for _ in 0..8 {
        busy.progress(&one).await?;
        ensure_eq("deliveries to another", &other.maybe(Duration::from_millis(300)).await?, &None)?;
    }
    busy.deliver(&one).await?;
    receiver.settles("it is delivered", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    ensure_eq("deliveries to another", &other.maybe(Duration::from_millis(seconds * 1_500)).await?, &None)
}

async fn elsewhere(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let mut first = receiver.link(1).await?;
    let id = receiver.accepted("a", "1").await?;
    let one = first.next(SOON).await?;
    let mut other = receiver.link(1).await?;
    other.deliver_earlier(one.webhook.id()).await?;
    receiver.settles("it is delivered", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    ensure_eq("the id", &one.webhook.id().to_string(), &id)?;
    drop(other);
    // The first one's window is free again.
    receiver.settles("nothing is in flight", SOON, |stats| stats.count("messages_in_flight") <= 0).await?;
    receiver.accepted("b", "2").await?;
    let next = first.next(SOON).await?;
    ensure_eq("the next body", &next.webhook.body[..].to_vec(), &b"2".to_vec())
}

async fn nonsense(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(10).await?;
    receiver.accepted("a", "1").await?;
    let one = link.next(SOON).await?;
    let stranger = Id::new();
    if stand.transport().settles_by_http() {
        let (site, known) = (receiver.site(), one.webhook.id());
        let token = receiver.target().token.expose();
        for (token, query, wanted) in [
            (token, format!("message_id={stranger}"), 404),
            (token, "message_id=nonsense&status=nack&retry=false".to_owned(), 404),
            (token, "status=ack".to_owned(), 422),
            (token, format!("message_id={known}&status=nack&delay_ms=soon"), 422),
            ("wrong", format!("message_id={known}"), 401),
            ("wrong", "status=ack".to_owned(), 422),
            (token, format!("message_id={known}&status=ack"), 200),
            (token, format!("message_id={known}&status=ack"), 404),
        ] {
            let status = compatible::post(site, token, "any", &query).await?;
            ensure_eq(&format!("the answer to {query}"), &status, &wanted)?;
        }
    } else {
        link.deliver_earlier(stranger).await?;
        for text in ["", "[1]", "no JSON", "{\"type\":\"ack\"}", "{\"type\":\"later\"}"] {
            link.send_text(text).await?;
        }
        link.deliver(&one).await?;
        link.deliver(&one).await?;
    }
    receiver.settles("it counts once", SOON, |stats| stats.count("messages_delivered") == 1).await?;
    receiver.accepted("b", "2").await?;
    let next = link.next(SOON).await?;
    link.deliver(&next).await?;
    receiver.settles("the stream lives on", SOON, |stats| stats.count("messages_delivered") == 2).await?;
    Ok(())
}

async fn lease(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::limits(json!({ "ack_timeout_seconds": 2 }))).await?;
    let mut link = receiver.link(5).await?;
    for nth in 0..8 {
        receiver.accepted(&nth.to_string(), nth.to_string()).await?;
    }
    let first = link.poll(1, 3).await?;
    ensure_eq("webhooks of a poll for three", &first.len(), &3)?;
    ensure_eq("webhooks within the window of five", &link.poll(1, 100).await?.len(), &2)?;
    for delivery in &first {
        link.deliver(delivery).await?;
    }
    receiver.settles("acknowledged later", SOON, |stats| stats.count("messages_delivered") == 3).await?;
    ensure_eq("webhooks in the room that is free", &link.poll(1, 100).await?.len(), &3)?;
    let mut again = Vec::new();
    while again.len() < 5 {
        let more = link.poll(5, 100).await?;
        ensure(!more.is_empty(), || format!("five after the deadline, found {}", again.len()))?;
        for delivery in more {
            ensure_eq("the attempt", &delivery.webhook.transit.attempt, &2)?;
            link.deliver(&delivery).await?;
            again.push(delivery);
        }
    }
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == 8).await?;
    // A connection that is cut while the answer is written returns its webhooks at once.
    receiver.accepted("large", vec![b'x'; 8 << 20]).await?;
    let path = format!("/connect/stream/{CHANNEL}/poll?timeout=5");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
        webhook-connect-version: 1\r\nx-connector-id: cut\r\n\r\n"
    );
    let mut stream = TcpStream::connect(receiver.address()).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.read_exact(&mut [0; 1_024]).await?;
    drop(stream);
    let cut = Instant::now();
    let back = link.next(SOON).await?;
    stand.note(format!("back {} ms after the cut", cut.elapsed().as_millis()));
    ensure(cut.elapsed() < Duration::from_secs(1), || "back at once".to_owned())?;
    ensure_eq("the attempt", &back.webhook.transit.attempt, &2)
}

async fn competing(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let (mut quick, mut slow) = (receiver.link(4).await?, receiver.link(4).await?);
    for nth in 0..40 {
        receiver.accepted(&nth.to_string(), "1").await?;
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
    // A channel that others use is loaded with no more than shows it.
    let (count, sizes) = if stand.is_own() { (1_100, &[1, 10, 1_000][..]) } else { (8, &[4][..]) };
    for nth in 0..count {
        receiver.accepted(&nth.to_string(), "1").await?;
    }
    for &window in sizes {
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
    let bad = receiver.accepted("bad", "1").await?;
    for nth in 0..20 {
        receiver.accepted(&nth.to_string(), "1").await?;
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
