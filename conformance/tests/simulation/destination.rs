//! The simulated destination: slow, failing, unreachable, and now and then confirming without being heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::ack::Symptom;
use engine::failure::Failure;
use engine::kind::{Context, Destination, OpenError, Sink};
use engine::webhook::Webhook;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::number;
use crate::site::{Site, Town};

/// The destination `http_webhook`, within the simulation.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Hook {
    /// Means nothing here.
    #[serde(default, rename = "url")]
    _url: String,
}

/// Calls the simulated destination.
pub(crate) struct Caller {
    pub(crate) site: Arc<Site>,
}

/// How a destination takes one webhook, whoever brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taste {
    Takes,
    /// Refuses it for now, for ever.
    Poison,
    /// Refuses it for good.
    Rejects,
    /// Does not answer.
    Hangs,
}

impl Town {
    /// Returns how the destination takes the webhook of this number.
    pub(crate) fn taste(&self, number: u32) -> Taste {
        let mut random = StdRng::seed_from_u64(self.seed ^ u64::from(number) << 20);
        match random.random_range(0..100) {
            0..3 if self.poisoned => Taste::Poison,
            3..5 if self.poisoned => Taste::Rejects,
            5..6 if self.poisoned => Taste::Hangs,
            _ => Taste::Takes,
        }
    }
}

impl Destination for Hook {
    const NAME: &'static str = "http_webhook";
    type Sink = Caller;

    async fn open(self, cx: &Context) -> Result<Caller, OpenError> {
        Ok(Caller { site: Site::of(cx)? })
    }
}

/// One call in progress, counted as long as it lives.
struct Call<'a>(&'a Site, &'a str);

impl<'a> Call<'a> {
    /// Begins a call: no more of them than the window run at a time.
    fn begin(site: &'a Site, channel: &'a str) -> Self {
        let mut calls = site.calls.lock().unwrap();
        let running = calls.entry(channel.to_owned()).or_default();
        *running += 1;
        if *running > site.window {
            site.book.violated(format!("G8: {running} calls of a window of {}", site.window));
        }
        Self(site, channel)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut calls = self.0.calls.lock().unwrap();
        calls.entry(self.1.to_owned()).and_modify(|running| *running -= 1);
    }
}

impl Sink for Caller {
    async fn deliver(&self, webhooks: &[Webhook]) -> Result<(), Failure> {
        for webhook in webhooks {
            self.call(webhook).await?;
        }
        Ok(())
    }
}

impl Caller {
    async fn call(&self, webhook: &Webhook) -> Result<(), Failure> {
        let (site, number) = (&*self.site, number(webhook));
        self.live().await;
        let _call = Call::begin(site, &webhook.transit.channel);
        let calls = site.book.called(webhook, site.who);
        let seed = site.town.seed ^ (u64::from(number) << 32 | u64::from(calls));
        let mut random = StdRng::seed_from_u64(seed);
        let mut wait = |ms: std::ops::Range<u64>| {
            let micros = random.random_range(ms.start * 1_000..ms.end * 1_000);
            tokio::time::sleep(Duration::from_micros(micros))
        };
        if site.town.down.load(Ordering::Relaxed) {
            wait(1..20).await;
            return Err(Failure::unreachable("connection refused").showing(Symptom::Connect));
        }
        let slow = site.town.slow.load(Ordering::Relaxed);
        wait(if slow { 500..4_000 } else { 1..30 }).await;
        match site.town.taste(number) {
            Taste::Takes => {}
            Taste::Poison => return Err(status(500)),
            Taste::Rejects => return Err(Failure::permanent("400")),
            Taste::Hangs => {
                wait(10_000..15_000).await;
                return Err(Failure::unreachable("no answer").showing(Symptom::Silence));
            }
        }
        let back = wait(0..20);
        match random.random_range(0..100) {
            0..5 => return Err(status(503)),
            5..7 => {
                let wait = Some(Duration::from_secs(random.random_range(1..4)));
                return Err(Failure::unreachable("429").showing(Symptom::Status(429)).retry_after(wait));
            }
            _ => {}
        }
        self.live().await;
        site.book.confirmed(number);
        back.await;
        if random.random_bool(0.02) {
            return Err(Failure::unreachable("the connection broke").showing(Symptom::Silence));
        }
        Ok(())
    }

    /// A process that died calls nobody.
    async fn live(&self) {
        if !self.site.lives() {
            std::future::pending::<()>().await;
        }
    }
}

fn status(status: u16) -> Failure {
    Failure::failed("refused for now").showing(Symptom::Status(status))
}
