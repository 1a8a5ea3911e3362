//! The source `receive`: one webhook id that senders post to.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use engine::config::{Faults, Node};
use engine::kind::{Build, Claim, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::network::Networks;
use engine::port::{Out, Unverified};
use futures::future::BoxFuture;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::tables::Routes;

/// Take the webhooks that are posted to `/webhook/{id}`.
///
/// A sender is answered once the buffer has committed its webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receive {
    /// The id in the URL.
    webhook: String,
    /// What an accepted webhook is answered with.
    #[serde(default)]
    response: Configured,
    /// Proxies whose `X-Forwarded-For` is believed for this webhook, as networks (`10.0.0.0/8`) or addresses, instead of
    /// those that the receiver as a whole believes. An empty list: none.
    #[serde(default)]
    trusted_proxies: Option<Networks>,
}

/// What an accepted webhook is answered with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Configured {
    /// 200, 201, 202 or 204.
    #[serde(default)]
    #[schemars(range(min = 200, max = 204))]
    status: Option<u16>,
    /// The body, as JSON. Default: a message with the webhook's id. There is none with 204.
    #[serde(default)]
    body: Option<Value>,
}

/// Where a webhook goes, and what its sender is told.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) webhook: ByteString,
    pub(crate) channel: ByteString,
    pub(crate) out: Out<Unverified>,
    /// Proxies that are believed instead of the receiver's.
    pub(crate) trusted_proxies: Option<Networks>,
    status: StatusCode,
    body: Option<Bytes>,
}

impl Route {
    /// Makes the answer to the sender of an accepted webhook.
    pub(crate) fn accepted(&self, id: engine::webhook::Id) -> Answer {
        match (&self.body, self.status) {
            (_, StatusCode::NO_CONTENT) => answer::empty(StatusCode::NO_CONTENT),
            (Some(body), status) => answer::json_text(status, body.clone()),
            (None, status) => {
                let reason = status.canonical_reason().unwrap_or_default();
                let code = status.as_u16();
                answer::json_text(
                    status,
                    format!("{{\"message\":\"{code} {reason}\",\"message_id\":\"{id}\"}}"),
                )
            }
        }
    }
}

impl Build for Receive {
    const NAME: &'static str = "receive";
    const ROLE: Role = Role::Receive;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let place = at.at().child("response");
        match self.response.status {
            None | Some(200..=202) => {}
            Some(204) if self.response.body.is_none() => {}
            Some(204) => faults.add(&place.child("body"), "an answer with status 204 has no body", None),
            Some(_) => faults.add(&place.child("status"), "expected 200, 201, 202 or 204", None),
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
        cx.lasting.keep(routes.announce(&self.webhook, ()));
        let status = self.response.status.and_then(|status| StatusCode::from_u16(status).ok());
        Ok(Box::new(Source {
            webhook: self.webhook,
            status: status.unwrap_or(StatusCode::OK),
            body: self.response.body.map(|body| body.to_string().into()),
            trusted_proxies: self.trusted_proxies,
            routes,
            cx: cx.clone(),
        }))
    }
}

struct Source {
    webhook: String,
    status: StatusCode,
    body: Option<Bytes>,
    trusted_proxies: Option<Networks>,
    routes: Arc<Routes>,
    cx: Context,
}

impl Stage for Source {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let out =
                wiring.gated.ok_or_else(|| StageError("a source needs a buffer behind it".to_owned()))?;
            let Self { webhook, status, body, trusted_proxies, routes, cx } = *self;
            let channel = wiring.channel.as_deref().unwrap_or_default().into();
            let route =
                Route { webhook: webhook.as_str().into(), channel, out, trusted_proxies, status, body };
            let _entered = routes.enter(&webhook, route);
            let mut stop = cx.stop;
            // Whoever could say stop is gone, which means the same.
            drop(stop.wait_for(|stop| *stop).await);
            Ok(())
        })
    }
}
