//! The outlet `webhook_connect`: one channel that connectors subscribe to.

use std::sync::Arc;

use engine::config::{Faults, Node, Secret};
use engine::kind::{Build, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::limits::Limits;
use engine::supply::Supply;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::tables::Channels;

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
}

impl Build for WebhookConnect {
    const NAME: &'static str = "webhook_connect";
    const ROLE: Role = Role::Outlet;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.token.is_empty() {
            faults.add(&at.at().child("token"), "the token is empty, so it would protect nothing", None);
        }
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let channels = Channels::of(&cx.resources);
        channels.announce(&self.channel, self.token.clone());
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
            let connections = Arc::new(Semaphore::new(limits.max_connections));
            let channel = Channel { name: name.clone(), token, limits, supply, connections };
            let _entered = self.channels.enter(&name, channel);
            let mut stop = self.cx.stop;
            // Whoever could say stop is gone, which means the same.
            drop(stop.wait_for(|stop| *stop).await);
            Ok(())
        })
    }
}
