//! The passage `direct`: the webhooks of an entry that this process delivers itself.

use std::sync::Arc;

use engine::config::Secret;
use engine::kind::{Build, Claim, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::limits::Limits;
use engine::webhook::Id;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::channel::Channel;
use crate::tables::Channels;

/// Send the webhooks of a buffer on within this process, to a retry or a destination.
///
/// It settles nothing: a webhook counts as delivered when what follows says so.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Direct {
    /// The channel's name, under which operators see its figures. No connector can subscribe to it.
    channel: String,
    /// The bounds of the channel.
    #[serde(default)]
    limits: Limits,
}

impl Build for Direct {
    const NAME: &'static str = "direct";
    const ROLE: Role = Role::Passage;

    fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim { what: "channel", name: &self.channel, key: "channel" })
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let channels = Channels::of(&cx.resources);
        // The table of channels wants a token. Nobody is told this one.
        let token = Secret::new(format!("{}{}", Id::new(), Id::new()));
        cx.lasting.keep(channels.announce(&self.channel, token.clone()));
        Ok(Box::new(Passage { settings: self, token, channels, cx: cx.clone() }))
    }
}

struct Passage {
    settings: Direct,
    token: Secret,
    channels: Arc<Channels>,
    cx: Context,
}

impl Stage for Passage {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let supply = wiring.supply.ok_or_else(|| StageError("a passage needs a buffer".to_owned()))?;
            let out = wiring.out.ok_or_else(|| StageError("nothing takes the webhooks".to_owned()))?;
            let Direct { channel: name, limits } = self.settings;
            let window = limits.window();
            let attached = supply.attach("direct".to_owned(), window, limits.max_in_flight).await;
            let mut subscription = attached.map_err(|error| StageError(error.to_string()))?;
            // Nobody subscribes.
            let channel = Channel::new(name.clone(), self.token, limits, supply, 0, &self.cx);
            let _entered = self.channels.enter(&name, channel);
            let mut stop = self.cx.stop;
            loop {
                let event = tokio::select! {
                    biased;
                    // Whoever could say stop is gone, which means the same.
                    _ = stop.wait_for(|stop| *stop) => return Ok(()),
                    event = subscription.events.recv() => event,
                };
                let event = event.ok_or_else(|| StageError("the buffer has ended".to_owned()))?;
                if out.send(event).await.is_err() && !*stop.borrow() {
                    return Err(StageError("the next stage has ended".to_owned()));
                }
            }
        })
    }
}
