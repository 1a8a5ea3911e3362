//! The stage that sends each webhook down the way of its id.

use std::collections::HashMap;

use engine::ack::{Outcome, Reason};
use engine::config::{Faults, Node};
use engine::kind::{Build, Context, OpenError, Role, Stage, StageError, Wiring};
use engine::port::{Closed, In, Out, Verified};
use engine::webhook::Event;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

/// The most ids one stage tells apart.
const MOST: usize = 10_000;

/// How many webhooks may wait here because what follows is full.
const WAITING: usize = 256;

/// Send each webhook to the port of its id: the first of `webhooks` comes out of port 1, the second of port 2, and so on.
///
/// It settles nothing: a webhook counts as delivered when what follows says so. One whose id is not listed comes out of
/// the port after the last, or is rejected when there is none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ByWebhook {
    /// The ids, in the order of the ports.
    webhooks: Vec<String>,
    /// Whether one more port takes every other webhook. Otherwise they are rejected.
    otherwise: bool,
}

impl Build for ByWebhook {
    const NAME: &'static str = "by_webhook";
    const ROLE: Role = Role::Flow;

    fn check(&self, at: &Node, faults: &mut Faults) {
        if self.webhooks.is_empty() || self.webhooks.len() > MOST {
            faults.add(at.at(), format!("expected 1 to {MOST} webhook ids"), None);
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = self.webhooks.iter().find(|id| !seen.insert(id.as_str())) {
            faults.add(at.at(), format!("the webhook `{twice}` is listed twice"), None);
        }
    }

    fn links(&self) -> u16 {
        u16::try_from(self.webhooks.len() + usize::from(self.otherwise)).unwrap_or(u16::MAX)
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        Ok(Box::new(Routing { settings: self, stop: cx.stop.clone() }))
    }
}

/// A `by_webhook` that is ready to run.
struct Routing {
    settings: ByWebhook,
    stop: watch::Receiver<bool>,
}

impl Stage for Routing {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let input =
                wiring.input.ok_or_else(|| StageError("routing by webhook needs an input".to_owned()))?;
            let mut links = wiring.links;
            let otherwise = if self.settings.otherwise { links.pop() } else { None };
            let routes = self.settings.webhooks.into_iter().zip(links).collect();
            route(input, &Routes { routes, otherwise }, &self.stop).await
        })
    }
}

struct Routes {
    routes: HashMap<String, Out<Verified>>,
    otherwise: Option<Out<Verified>>,
}

/// Hands on until the input ends. A way that is full holds up no other.
async fn route(
    mut input: In<Verified>,
    routes: &Routes,
    stop: &watch::Receiver<bool>,
) -> Result<(), StageError> {
    let mut sends = FuturesUnordered::new();
    let mut open = true;
    while open || !sends.is_empty() {
        tokio::select! {
            biased;
            Some(sent) = sends.next() => {
                // Told to stop, stages end in any order, and what they do not take is delivered again.
                if sent == Err(Closed) && !*stop.borrow() {
                    return Err(StageError("what follows a routing by webhook has ended".to_owned()));
                }
            }
            event = input.recv(), if open && sends.len() < WAITING => match event {
                Some(event) => sends.push(routes.send(event)),
                None => open = false,
            },
        }
    }
    Ok(())
}

impl Routes {
    async fn send(&self, event: Event) -> Result<(), Closed> {
        let id: &str = &event.webhook.head.webhook;
        match self.routes.get(id).or(self.otherwise.as_ref()) {
            Some(out) => out.send(event).await,
            None => {
                let reason = Reason::new(&format!("no route takes the webhook `{id}`"));
                event.ack.settle(Outcome::Failed { reason });
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, faults, parse, webhook};
    use engine::ack::Ack;
    use engine::kind::Kind;
    use engine::meter::Edge;
    use engine::port::edge;
    use serde_json::json;
    use tokio::sync::oneshot;

    /// Runs the stage with as many ports as `settings` say and sends it a webhook with the id `orders`.
    async fn sent(settings: serde_json::Value) -> (Vec<In<Verified>>, oneshot::Receiver<Outcome>) {
        let (cx, _stop) = context();
        let join = |name| edge(8, Edge::new(&cx.meter, name));
        let settings: ByWebhook = parse(settings);
        let (links, ends): (Vec<_>, Vec<_>) = (0..settings.links()).map(|_| join("link")).unzip();
        let (source, input) = join("in");
        let wiring = Wiring { input: Some(input), links, ..Wiring::default() };
        let (ack, told) = Ack::waiter();
        source.send(Event { webhook: webhook(&[], b"{}"), ack }).await.unwrap();
        drop(source);
        let stop = cx.stop.clone();
        Box::new(Routing { settings, stop }).run(wiring).await.unwrap();
        (ends, told)
    }

    #[tokio::test]
    async fn a_webhook_goes_the_way_of_its_id() {
        let (mut ends, _told) = sent(json!({ "webhooks": ["refunds", "orders"], "otherwise": true })).await;
        assert!(ends[1].recv().await.is_some());
        assert!(ends[0].recv().await.is_none() && ends[2].recv().await.is_none());
    }

    #[tokio::test]
    async fn a_webhook_without_a_way_of_its_own_goes_the_last_way() {
        let (mut ends, _told) = sent(json!({ "webhooks": ["refunds"], "otherwise": true })).await;
        assert!(ends[1].recv().await.is_some());
        assert!(ends[0].recv().await.is_none());
    }

    #[tokio::test]
    async fn a_webhook_that_nothing_takes_is_rejected() {
        let (_ends, told) = sent(json!({ "webhooks": ["refunds"], "otherwise": false })).await;
        let reason = Reason::new("no route takes the webhook `orders`");
        assert_eq!(told.await, Ok(Outcome::Failed { reason }));
    }

    #[test]
    fn an_id_is_listed_once() {
        let settings = json!({ "webhooks": ["a", "a"], "otherwise": false });
        assert_eq!(faults(&settings, Kind::stage::<ByWebhook>()), ["/: the webhook `a` is listed twice"]);
    }
}
