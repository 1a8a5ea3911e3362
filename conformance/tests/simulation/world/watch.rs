//! What is looked at while a run lasts, and what must hold at its end.

use std::sync::Arc;
use std::time::Duration;

use engine::limits::Limits;
use tokio::time::Instant;

use super::World;
use crate::client::Client;
use crate::destination::Taste;
use crate::network::Party;
use crate::process::Process;
use crate::scenario::{Connector, channel};

/// How long after everything is well again each webhook that can be delivered may take.
const SETTLING: Duration = Duration::from_secs(300);

/// How long a webhook may take that is posted when everything is well.
const PROMPT: Duration = Duration::from_secs(120);

impl World {
    /// G5: what a lost connection held is back in the queue at once.
    pub(super) async fn check_returned(&mut self) {
        if self.scenario.connectors.iter().any(Connector::may_poll) {
            return;
        }
        let mut client = Client::new(&self.network, Party::Operator);
        for number in 0..self.scenario.channels {
            let Some(stats) = client.stats(&channel(number)).await else { continue };
            if self.dark && stats["messages_in_flight"] != 0 {
                self.book.violated(format!("G5: without a connection there are still in flight: {stats}"));
            }
        }
    }

    /// G8: no connection ever brought more than its window. With several connectors, one may settle by its id what another
    /// still holds, which makes room for that one before it knows.
    pub(super) fn check_window(&self, connector: &Process) {
        let beyond = connector.beyond_window();
        let alone = self.connectors.len() == 1;
        if beyond > 0 && alone && !self.scenario.connectors[connector.site.who].may_poll() {
            self.book.violated(format!("G8: {beyond} webhooks came beyond the window of a connector"));
        }
    }

    /// Looks at the figures again and again: they balance at all times, and in flight is what windows allow.
    pub(super) fn audit(&self) -> tokio::task::JoinHandle<()> {
        let (book, mut client) = (Arc::clone(&self.book), Client::new(&self.network, Party::Operator));
        let (channels, window) = (self.scenario.channels, self.scenario.limits.max_in_flight as u64);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1_700)).await;
                for number in 0..channels {
                    let Some(stats) = client.stats(&channel(number)).await else { continue };
                    let of = |name: &str| stats[format!("messages_{name}")].as_u64().unwrap_or(u64::MAX / 16);
                    let parts = ["delivered", "queued", "in_flight", "dead_lettered", "expired", "dropped"];
                    let sum: u64 = parts.into_iter().map(of).sum::<u64>() + of("purged");
                    if sum != of("accepted") || stats["audit_imbalance"] != 0 {
                        book.violated(format!("G15: the figures do not balance: {stats}"));
                    }
                    let sessions = stats["connected_clients"].as_u64().unwrap_or_default();
                    if of("in_flight") > sessions * window {
                        book.violated(format!("G8: more in flight than windows allow: {stats}"));
                    }
                }
            }
        })
    }

    /// Waits until every webhook that can be delivered was.
    pub(super) async fn settle(&self) {
        let until = Instant::now() + SETTLING;
        loop {
            let open = self.book.unsettled().into_iter();
            let open: Vec<u32> = open.filter(|number| self.town.taste(*number) == Taste::Takes).collect();
            if open.is_empty() {
                return;
            }
            if Instant::now() > until {
                return self
                    .book
                    .violated(format!("G2: after {SETTLING:?} of peace not delivered: {open:?}"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// G9: whatever still cannot be delivered holds nobody else up.
    pub(super) async fn probe(&self) {
        for at in 0..2 * self.scenario.channels {
            let (number, body) = self.book.posts(10);
            let mut client = Client::new(&self.network, Party::Sender);
            let status = client.post(&channel(at % self.scenario.channels), &body).await;
            self.book.answered(number, status);
            let posted = Instant::now();
            while self.town.taste(number) == Taste::Takes && !self.book.is_done(number) {
                if posted.elapsed() > PROMPT {
                    self.book.violated(format!("G9: #{number}, answered {status:?}, is held up"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// What must hold at the end.
    pub(super) async fn check_all(&self) {
        self.connectors.iter().flatten().for_each(|connector| self.check_window(connector));
        let kept = self.disk.kept().await;
        for number in self.book.numbers() {
            let (accepted, confirmed, parked) = self.book.fate(number);
            if accepted && !confirmed && parked.is_none() && !kept.contains(&number) {
                self.book.violated(format!("G2: #{number} was answered 2xx and is lost"));
            }
            let Limits { ttl_seconds, max_deliveries, .. } = self.scenario.limits;
            if confirmed && parked.is_some() && max_deliveries > 10 && ttl_seconds > 3_600 {
                self.book.violated(format!("G2: #{number} was confirmed and counts as {parked:?}"));
            }
        }
    }
}
