//! The one driver of sinks: takes webhooks, delivers them, settles their acks.
//!
//! Every destination runs under it: concurrency, the one-by-one repetition after a failed batch and metrics live here and
//! nowhere else. A webhook counts as delivered when [`Sink::deliver`] returned `Ok` and not before.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::ack::Outcome;
use crate::kind::{Claim, Context, Destination, DynBuild, OpenError, Sink, Stage, StageError, Wiring};
use crate::meter::{Counter, Meter, Metric};
use crate::port::{In, Verified};
use crate::webhook::{Event, Webhook};

/// How many calls of one sink run at a time.
const CONCURRENCY: usize = 64;

/// A destination as a stage.
pub(crate) struct Driven<D>(pub(crate) D);

impl<D: Destination> DynBuild for Driven<D> {
    fn links(&self) -> u16 {
        0
    }

    fn claim(&self) -> Option<Claim<'_>> {
        None
    }

    fn open<'a>(self: Box<Self>, cx: &'a Context) -> BoxFuture<'a, Result<Box<dyn Stage>, OpenError>> {
        Box::pin(async move {
            let counts = Counts::new(&cx.meter, &cx.name);
            let sink = self.0.open(cx).await?;
            Ok(Box::new(Driver { sink: Arc::new(sink), counts }) as Box<dyn Stage>)
        })
    }
}

struct Driver<S> {
    sink: Arc<S>,
    counts: Counts,
}

#[derive(Clone)]
struct Counts {
    confirmed: Counter,
    unreachable: Counter,
    failed: Counter,
    rejected: Counter,
}

impl Counts {
    fn new(meter: &Meter, stage: &str) -> Self {
        let not = |kind| meter.counter(Metric::Unconfirmed, stage, kind);
        Self {
            confirmed: meter.counter(Metric::Confirmed, stage, ""),
            unreachable: not("unreachable"),
            failed: not("failed"),
            rejected: not("rejected"),
        }
    }

    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Delivered => &self.confirmed,
            Outcome::Abandoned { cause: crate::ack::Cause::Unreachable, .. } => &self.unreachable,
            Outcome::Abandoned { .. } => &self.failed,
            Outcome::Failed { .. } | Outcome::Refused { .. } => &self.rejected,
        };
        counter.add(1);
    }
}

impl<S: Sink> Stage for Driver<S> {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let input = wiring.input.ok_or_else(|| StageError("a destination needs an input".to_owned()))?;
            self.deliver_all(input).await;
            Ok(())
        })
    }
}

impl<S: Sink> Driver<S> {
    /// Delivers until the input ends, at most [`CONCURRENCY`] calls at a time.
    async fn deliver_all(&self, mut input: In<Verified>) {
        let mut calls = FuturesUnordered::new();
        let mut batch = Vec::with_capacity(S::BATCH);
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                Some(()) = calls.next() => {}
                taken = input.recv_many(&mut batch, S::BATCH), if open && calls.len() < CONCURRENCY => {
                    if taken == 0 {
                        open = false;
                    } else {
                        calls.push(self.deliver(std::mem::take(&mut batch)));
                    }
                }
                else => return,
            }
        }
    }

    /// Delivers one batch and settles it; after a failure, its webhooks one by one.
    async fn deliver(&self, batch: Vec<Event>) {
        let (webhooks, acks): (Vec<Webhook>, Vec<_>) = batch.into_iter().map(|e| (e.webhook, e.ack)).unzip();
        let together = self.outcome(&webhooks).await;
        let alone = webhooks.len() == 1 || together == Outcome::Delivered;
        for (webhook, ack) in webhooks.into_iter().zip(acks) {
            let outcome = if alone { together.clone() } else { self.outcome(&[webhook]).await };
            self.counts.count(&outcome);
            ack.settle(outcome);
        }
    }

    async fn outcome(&self, webhooks: &[Webhook]) -> Outcome {
        match self.sink.deliver(webhooks).await {
            Ok(()) => Outcome::Delivered,
            Err(failure) => failure.into(),
        }
    }
}
