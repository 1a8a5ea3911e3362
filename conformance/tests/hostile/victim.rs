//! A receiver that is about to be mistreated, and what must still hold afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use conformance::case::{Failed, ensure};
use conformance::party::http as client;
use conformance::party::receiver::{Receiver, Setup};
use conformance::stand::Stand;

use crate::stand;

/// How long a webhook may take through a receiver that is being mistreated.
const SOON: Duration = Duration::from_secs(10);

/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A running receiver and the memory it took before anything was done to it.
pub(crate) struct Victim {
    _stand: Stand,
    pub(crate) receiver: Receiver,
    before: u64,
}

impl Victim {
    /// Starts a receiver and has it take and hand over a first webhook, whose cost is not the mistreatment's.
    pub(crate) async fn start(setup: Setup) -> Result<Self, Failed> {
        let stand = stand();
        let mut receiver = stand.receiver(setup).await?;
        serve_one(&receiver).await?;
        let before = receiver.process()?.resident_bytes()?;
        Ok(Self { _stand: stand, receiver, before })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.receiver.address()
    }

    /// Returns by how many bytes its memory has grown.
    pub(crate) fn growth(&mut self) -> Result<u64, Failed> {
        Ok(self.receiver.process()?.resident_bytes()?.saturating_sub(self.before))
    }

    /// Returns everything it has said.
    pub(crate) fn log(&mut self) -> Result<String, Failed> {
        self.receiver.process()?.log()
    }

    /// Returns a counter of `/metrics`, 0 when nothing was counted.
    pub(crate) async fn count(&self, metric: &str, place: &str, kind: &str) -> Result<u64, Failed> {
        let answer = client::get(self.address(), "/metrics", "").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let wanted = format!("webhook_connect_{metric}_total{{place=\"{place}\",kind=\"{kind}\"}} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok());
        Ok(found.unwrap_or(0))
    }

    /// Waits until a counter of `/metrics` is at least `least`, and returns it; what it is in the end when it is not.
    pub(crate) async fn counts(
        &self,
        metric: &str,
        place: &str,
        kind: &str,
        least: u64,
    ) -> Result<u64, Failed> {
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let found = self.count(metric, place, kind).await?;
            if found >= least || tokio::time::Instant::now() > end {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes everything that is left, and returns the names of it.
    pub(crate) async fn drain(&self) -> Result<Vec<String>, Failed> {
        let (mut link, mut names) = (self.receiver.link(100).await?, Vec::new());
        while let Some(delivery) = link.maybe(Duration::from_millis(300)).await? {
            names.push(conformance::party::connector::header(
                &delivery.webhook,
                conformance::party::sender::DELIVERY,
            ));
            link.deliver(&delivery).await?;
        }
        Ok(names)
    }

    /// Checks that it has grown by at most `most` bytes, has not panicked, and takes and hands over webhooks as ever.
    pub(crate) async fn is_well(&mut self, most: u64) -> Result<(), Failed> {
        let grown = self.growth()?;
        ensure(grown <= most, || format!("memory that grows by at most {most} bytes, found {grown}"))?;
        serve_one(&self.receiver).await?;
        self.receiver.stats().await?.ensure_balance()?;
        let log = self.log()?;
        ensure(!log.contains("panicked"), || format!("no panic, found: {log}"))
    }
}

/// Has one webhook taken and handed over.
async fn serve_one(receiver: &Receiver) -> Result<(), Failed> {
    let id = receiver.accepted("one", "1").await?;
    let mut link = receiver.link(1).await?;
    let delivery = link.next(SOON).await?;
    ensure(delivery.webhook.id().to_string() == id, || format!("webhook {id} alone"))?;
    link.deliver(&delivery).await?;
    let left = |stats: &conformance::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    receiver.settles("it is delivered", SOON, left).await?;
    Ok(())
}
