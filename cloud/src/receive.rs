//! The source `receive`: one webhook id that senders post to.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytestring::ByteString;
use engine::config::{Faults, Node};
use engine::kind::{Build, Claim, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::network::Networks;
use engine::port::{Out, Unverified};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::accepts::{Accepts, MediaRange, Verb};
use crate::response::{Configured, Response};
use crate::tables::Routes;

/// Take the webhooks that are posted to `/webhook/{id}`.
///
/// A sender is answered once the buffer has committed its webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receive {
    /// The id in the URL.
    webhook: String,
    /// The methods that senders may use. Others are answered 405.
    #[serde(default = "Receive::default_methods")]
    methods: Vec<Verb>,
    /// The media types that bodies may have, `type/subtype` or `type/*`; parameters do not matter. Others, and requests
    /// that name none, are answered 415. Default: any, and none.
    #[serde(default)]
    content_types: Option<Vec<MediaRange>>,
    /// The largest body, in bytes, within what the receiver takes at all. A larger one is answered 413, before it is
    /// read where its length is announced.
    #[serde(default)]
    max_body_bytes: Option<NonZeroUsize>,
    /// What an accepted webhook is answered with.
    #[serde(default)]
    response: Configured,
    /// Proxies whose `X-Forwarded-For` is believed for this webhook, as networks (`10.0.0.0/8`) or addresses, instead of
    /// those that the receiver as a whole believes. An empty list: none.
    #[serde(default)]
    trusted_proxies: Option<Networks>,
}

impl Receive {
    fn default_methods() -> Vec<Verb> {
        vec![Verb::Post]
    }
}

/// Where a webhook goes, and what its sender is told.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) webhook: ByteString,
    pub(crate) channel: ByteString,
    pub(crate) out: Out<Unverified>,
    pub(crate) accepts: Arc<Accepts>,
    pub(crate) response: Response,
    /// Proxies that are believed instead of the receiver's.
    pub(crate) trusted_proxies: Option<Networks>,
}

impl Build for Receive {
    const NAME: &'static str = "receive";
    const ROLE: Role = Role::Receive;

    fn check(&self, at: &Node, faults: &mut Faults) {
        self.response.check(at, faults);
        if self.methods.is_empty() {
            faults.add(&at.at().child("methods"), "no method is taken, so nobody could send", None);
        }
        if self.content_types.as_ref().is_some_and(Vec::is_empty) {
            faults.add(&at.at().child("content_types"), "no media type is taken, so nobody could send", None);
        }
        if let (Some(networks), Some(list)) = (&self.trusted_proxies, at.get("trusted_proxies")) {
            networks.check(&list, faults);
        }
    }

    fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim { what: "webhook id", name: &self.webhook, key: "webhook" })
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let routes = Routes::of(&cx.resources);
        let Self { webhook, methods, content_types, max_body_bytes, response, trusted_proxies } = self;
        let accepts = Accepts::new(methods, content_types, max_body_bytes.map(NonZeroUsize::get));
        let accepts = Arc::new(accepts);
        cx.lasting.keep(routes.announce(&webhook, Arc::clone(&accepts)));
        let response = response.made();
        Ok(Box::new(Source { webhook, accepts, response, trusted_proxies, routes, cx: cx.clone() }))
    }
}

struct Source {
    webhook: String,
    accepts: Arc<Accepts>,
    response: Response,
    trusted_proxies: Option<Networks>,
    routes: Arc<Routes>,
    cx: Context,
}

impl Stage for Source {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let out =
                wiring.gated.ok_or_else(|| StageError("a source needs a buffer behind it".to_owned()))?;
            let Self { webhook, accepts, response, trusted_proxies, routes, cx } = *self;
            let channel = wiring.channel.as_deref().unwrap_or_default().into();
            let route =
                Route { webhook: webhook.as_str().into(), channel, out, accepts, response, trusted_proxies };
            let _entered = routes.enter(&webhook, route);
            let mut stop = cx.stop;
            // Whoever could say stop is gone, which means the same.
            drop(stop.wait_for(|stop| *stop).await);
            Ok(())
        })
    }
}
