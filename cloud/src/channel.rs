//! The outlet `webhook_connect`: one channel that connectors subscribe to.

use std::sync::Arc;
use std::time::Duration;

use engine::ack::Outcome;
use engine::config::{Faults, Node, Secret};
use engine::kind::{Build, Claim, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::limits::Limits;
use engine::meter::Metric;
use engine::supply::{Gone, Supply};
use engine::webhook::Id;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::holder::{Holders, Which};
use crate::listener::Shared;
use crate::tables::Channels;
use crate::transport::poll::{Cursors, Pollers};

/// How often leases of polls are looked through for those that ended.
const SWEEP: Duration = Duration::from_secs(1);

/// Hand the webhooks of a channel to the connectors that subscribe to it.
///
/// A webhook counts as delivered once a connector acknowledged it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookConnect {
    /// The channel's name.
    channel: String,
    /// What a connector must present.
    token: Secret,
    /// The bounds of the channel.
    #[serde(default)]
    limits: Limits,
}

/// A channel that connectors may subscribe to.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) token: Secret,
    pub(crate) limits: Limits,
    pub(crate) supply: Supply,
    /// One permit per connection.
    pub(crate) connections: Arc<Semaphore>,
    /// What each connection holds.
    pub(crate) holders: Holders,
    /// The connectors that poll.
    pub(crate) pollers: Pollers,
    /// Where taps that poll stand.
    pub(crate) cursors: Cursors,
    /// Becomes true when sessions should settle what they hold and end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Cancelled when the time for that is over: sessions give back what they hold.
    pub(crate) cut: CancellationToken,
}

impl Channel {
    /// Makes a channel that `connections` connectors may subscribe to.
    pub(crate) fn new(
        name: String,
        token: Secret,
        limits: Limits,
        supply: Supply,
        connections: usize,
        cx: &Context,
    ) -> Self {
        Self {
            name,
            token,
            limits,
            supply,
            connections: Arc::new(Semaphore::new(connections)),
            holders: Holders::default(),
            pollers: Pollers::default(),
            cursors: Cursors::default(),
            stop: cx.stop.clone(),
            cut: cx.cut.clone(),
        }
    }

    /// Returns the permit for one more connection; none when the channel has all it may have.
    pub(crate) fn permit(&self, shared: &Shared) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok();
        if permit.is_none() {
            shared.meter.counter(Metric::Limits, &self.name, "connections").add(1);
        }
        permit
    }

    /// Settles a webhook by its id, whoever holds it, and returns whether the channel knew it.
    ///
    /// # Errors
    /// The buffer has ended.
    pub(crate) async fn settle(&self, id: Id, outcome: Outcome) -> Result<bool, Gone> {
        let which = Which::Message(id);
        let mut known = false;
        // One that was overdue may be held twice.
        for holder in self.holders.all() {
            known |= holder.settle(&which, &outcome);
        }
        if known { Ok(true) } else { self.supply.settle(id, outcome).await }
    }
}

impl Build for WebhookConnect {
    const NAME: &'static str = "webhook_connect";
    const ROLE: Role = Role::Outlet;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.token.is_empty() {
            faults.add(&at.at().child("token"), "the token is empty, so it would protect nothing", None);
        }
        // A connector refuses to present it.
        if !self.token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            faults.add(&at.at().child("token"), "a token has printable ASCII characters and no spaces", None);
        }
    }

    fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim { what: "channel", name: &self.channel, key: "channel" })
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let channels = Channels::of(&cx.resources);
        cx.lasting.keep(channels.announce(&self.channel, self.token.clone()));
        Ok(Box::new(Outlet { settings: self, channels, cx: cx.clone() }))
    }
}

struct Outlet {
    settings: WebhookConnect,
    channels: Arc<Channels>,
    cx: Context,
}

impl Stage for Outlet {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let supply = wiring.supply.ok_or_else(|| StageError("an outlet needs a buffer".to_owned()))?;
            let WebhookConnect { channel: name, token, limits } = self.settings;
            let connections = limits.max_connections;
            let channel = Channel::new(name.clone(), token, limits, supply, connections, &self.cx);
            let entered = self.channels.enter(&name, channel);
            let channel = entered.value();
            let (mut stop, mut ticks) = (self.cx.stop, tokio::time::interval(SWEEP));
            loop {
                tokio::select! {
                    biased;
                    // Whoever could say stop is gone, which means the same.
                    _ = stop.wait_for(|stop| *stop) => break,
                    _ = ticks.tick() => {
                        channel.pollers.sweep(channel.limits.ack_timeout());
                        channel.cursors.sweep();
                    }
                }
            }
            // Nobody can acknowledge any more what a poll returned.
            channel.pollers.release_all();
            channel.cursors.release_all();
            Ok(())
        })
    }
}
