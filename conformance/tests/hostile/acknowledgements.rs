//! Floods of acknowledgements for webhooks that nobody knows.

use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::http::Client;
use conformance::party::receiver::{CHANNEL, Setup, TOKEN};
use conformance::party::socket::Socket;
use engine::ack::{Outcome, Reason};
use engine::ledger::Window;
use engine::webhook::Id;
use http::Request;
use http_body_util::Full;
use schemas::wire::frame::{Frame, Settle};
use tokio::task::JoinSet;

use crate::victim::Victim;

/// What a webhook may take through a receiver that is flooded.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_flood_by_http_is_answered_404_each() -> Result<(), Failed> {
    const SENDERS: u64 = 4;
    const EACH: u64 = 1_000;
    let mut victim = Victim::start(Setup::default()).await?;
    let (address, mut senders) = (victim.address(), JoinSet::new());
    for _ in 0..SENDERS {
        senders.spawn(async move {
            let mut client = Client::connect(address).await?;
            for _ in 0..EACH {
                let target = format!("/connect/ack?status=ack&message_id={}", Id::new());
                let request = Request::post(target)
                    .header("host", "localhost")
                    .header("authorization", format!("Bearer {TOKEN}"));
                let answer = client.send(request.body(Full::default())?).await?;
                ensure_eq("the status", &answer.status.as_u16(), &404)?;
            }
            Ok::<_, Failed>(())
        });
    }
    // Senders are served meanwhile.
    tokio::time::timeout(SOON, victim.receiver.accepted("meanwhile", "1")).await??;
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    ensure_eq("answers counted", &victim.count("answers", "", "404").await?, &(SENDERS * EACH))?;
    victim.drain().await?;
    victim.is_well(16 << 20).await
}

#[tokio::test]
async fn a_flood_by_frames_is_counted_and_holds_nobody_up() -> Result<(), Failed> {
    const IDS: usize = 20_000;
    const RANGES: usize = 100_000;
    let mut victim = Victim::start(Setup::default()).await?;
    // It wants no webhooks itself.
    let mut socket = Socket::windowed(victim.address(), Window { events: 0, bytes: 0 }).await?;
    let ids = |outcome: Outcome| (0..IDS).map(|_| (Id::new(), outcome.clone())).collect();
    let rejected = Outcome::Failed { reason: Reason::new("x") };
    for earlier in [ids(Outcome::Delivered), ids(rejected)] {
        socket.frame(Frame::Settle(Settle { earlier, ..Settle::default() })).await?;
    }
    let everything = vec![0..=u64::MAX; RANGES];
    socket.frame(Frame::Progress(everything.clone())).await?;
    socket.frame(Frame::Settle(Settle { delivered: everything, ..Settle::default() })).await?;
    // Another connector gets its webhook meanwhile.
    tokio::time::timeout(SOON, async {
        let id = victim.receiver.accepted("meanwhile", "1").await?;
        let mut link = victim.receiver.link(1).await?;
        while victim.receiver.stats().await?.count("messages_delivered") < 2 {
            if let Some(delivery) = link.maybe(Duration::from_millis(50)).await? {
                ensure_eq("the webhook", &delivery.webhook.id().to_string(), &id)?;
                link.deliver(&delivery).await?;
            }
        }
        Ok::<_, Failed>(())
    })
    .await??;
    let wanted = u64::try_from(2 * IDS + RANGES)?;
    let found = victim.counts("not_understood", CHANNEL, "", wanted).await?;
    ensure(found >= wanted - 1 && found <= wanted, || format!("about {wanted} counted, found {found}"))?;
    drop(socket);
    victim.is_well(64 << 20).await
}
