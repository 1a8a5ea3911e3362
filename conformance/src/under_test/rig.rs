//! What every case of a connector has: a receiver, a proxy before it, a destination, and the connector itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case::{Failed, ensure};
use crate::party::destination::{Call, Destination};
use crate::party::proxy::Proxy;
use crate::party::receiver::{CHANNEL, Receiver, Setup, TOKEN};
use crate::party::sender::DELIVERY;
use crate::party::tested::{Tested, Told};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a connector may take to start and connect.
const START: Duration = Duration::from_secs(20);

/// A connector under test and everything around it.
pub(super) struct Rig {
    pub(super) receiver: Receiver,
    pub(super) proxy: Proxy,
    pub(super) destination: Destination,
    pub(super) connector: Tested,
    stand: Stand,
}

impl Rig {
    /// Starts everything and waits until the connector is connected.
    pub(super) async fn start(stand: &Stand, setup: Setup) -> Result<Self, Failed> {
        let receiver = stand.receiver(setup).await?;
        let proxy = Proxy::start(receiver.address()).await?;
        let destination = Destination::start().await?;
        let connector = start(stand, &proxy, &destination)?;
        let mut rig = Self { receiver, proxy, destination, connector, stand: stand.clone() };
        let early = tokio::select! {
            biased;
            status = rig.connector.over() => Err(Failed(format!("expected the command to go on, but the command ended: {}", status?))),
            connected = connected(&rig.receiver) => connected,
        };
        rig.explain(early)?;
        Ok(rig)
    }

    /// Starts the connector once more.
    pub(super) fn start_again(&mut self) -> Result<(), Failed> {
        self.connector = start(&self.stand, &self.proxy, &self.destination)?;
        Ok(())
    }

    /// Waits until the destination has been called `count` times at least.
    pub(super) async fn called(&self, count: usize, most: Duration) -> Result<(), Failed> {
        let called = until("calls", most, || async { Ok((self.destination.count() >= count).then_some(())) });
        self.explain(called.await.map_err(|_| {
            let found = self.destination.count();
            Failed(format!(
                "expected {count} answered calls of the destination within {most:?}, found {found}"
            ))
        }))
    }

    /// Waits until a call of the destination has begun for the `count`th time.
    pub(super) async fn begun(&self, count: usize, most: Duration) -> Result<(), Failed> {
        let begun = until("calls", most, || async { Ok((self.destination.begun() >= count).then_some(())) });
        self.explain(begun.await.map_err(|_| {
            let found = self.destination.begun();
            Failed(format!(
                "expected {count} calls of the destination to begin within {most:?}, found {found}"
            ))
        }))
    }

    /// Waits until the receiver counts `count` webhooks as delivered.
    pub(super) async fn delivered(&self, count: i64, most: Duration) -> Result<(), Failed> {
        let what = format!("{count} webhooks acknowledged");
        let settled = self.receiver.settles(&what, most, |stats| stats.count("messages_delivered") == count);
        self.explain(settled.await.map(|_| ()))
    }

    /// Returns the calls of the destination by the names of the webhooks.
    pub(super) fn calls(&self) -> BTreeMap<String, Vec<Call>> {
        let mut by_name = BTreeMap::<_, Vec<_>>::new();
        for call in self.destination.calls() {
            by_name.entry(call.header(DELIVERY).to_owned()).or_default().push(call);
        }
        by_name
    }

    /// Fails unless each of these webhooks reached the destination and was answered 2xx there.
    pub(super) fn ensure_arrived(&self, names: impl IntoIterator<Item = String>) -> Result<(), Failed> {
        let calls = self.calls();
        let lost: Vec<_> = names
            .into_iter()
            .filter(|name| {
                let own = calls.get(name).map(Vec::as_slice).unwrap_or_default();
                !own.iter().any(|call| call.answered.is_success())
            })
            .collect();
        self.explain(ensure(lost.is_empty(), || {
            format!(
                "expected every webhook at the destination, found these acknowledged without it: {lost:?}"
            )
        }))
    }

    /// Adds what the connector said to a failure.
    pub(super) fn explain(&self, outcome: Result<(), Failed>) -> Result<(), Failed> {
        outcome
            .map_err(|Failed(why)| Failed(format!("{why}\nthe connector says:\n{}", self.connector.said())))
    }
}

/// Waits until the connector is connected.
async fn connected(receiver: &Receiver) -> Result<(), Failed> {
    let there = receiver.settles("a connection of the connector to the channel", START, |stats| {
        stats.count("connected_clients") > 0
    });
    there.await.map(|_| ())
}

fn start(stand: &Stand, proxy: &Proxy, destination: &Destination) -> Result<Tested, Failed> {
    let told = Told {
        url: format!("http://{}", proxy.address()),
        channel: CHANNEL.to_owned(),
        token: TOKEN.to_owned(),
        destination: destination.url(),
    };
    Tested::start(stand.command()?, &told, &stand.folder().join("connector.log"))
}
