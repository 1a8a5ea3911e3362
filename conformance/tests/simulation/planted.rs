//! Bugs that the simulation must find: stages that stand in for the real ones and do one thing wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::ack::{Ack, Outcome};
use engine::failure::Failure;
use engine::kind::{Build, Context, Destination, OpenError, Role, Sink, Stage, StageError, Wiring};
use engine::ledger::{Ledger, Window};
use engine::store::{Change, Deferred, Limit, Loaded, Parked, Stats, Store, StoreError, Stored};
use engine::webhook::{Event, Webhook};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::destination::{Caller, Hook};
use crate::disk::Channel;
use crate::site::{Buffer, Site};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A destination acknowledges before it has delivered.
    AcksBeforeDelivery,
    /// A retry never tries again what has to wait.
    ForgetsTimers,
    /// A store counts a webhook twice that was delivered after it had been given back.
    CountsTwice,
}

/// A destination that acknowledges first.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Eager(Hook);

/// Delivers behind the back of whoever waits.
pub(crate) struct Hasty(Arc<Caller>);

impl Destination for Eager {
    const NAME: &'static str = Hook::NAME;
    type Sink = Hasty;

    async fn open(self, cx: &Context) -> Result<Hasty, OpenError> {
        Ok(Hasty(Arc::new(self.0.open(cx).await?)))
    }
}

impl Sink for Hasty {
    async fn deliver(&self, webhooks: &[Webhook]) -> Result<(), Failure> {
        let (caller, webhooks) = (Arc::clone(&self.0), webhooks.to_vec());
        tokio::spawn(async move { caller.deliver(&webhooks).await });
        Ok(())
    }
}

/// A retry that forgets what has to wait.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Forgetful {}

impl Build for Forgetful {
    const NAME: &'static str = "retry";
    const ROLE: Role = Role::Flow;

    async fn open(self, _cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        Ok(Box::new(self))
    }
}

impl Stage for Forgetful {
    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            let (Some(mut input), Some(out)) = (wiring.input, wiring.out) else {
                return Err(StageError("it is not joined".to_owned()));
            };
            let mut ledger = Ledger::<Ack>::new(Window { events: 10_000, bytes: usize::MAX });
            let (mut batch, mut waiting) = (Vec::new(), Vec::new());
            loop {
                tokio::select! {
                    biased;
                    reports = ledger.settled() => for (_, ack, outcome) in reports.settled {
                        match outcome {
                            Outcome::Abandoned { .. } => waiting.push(ack),
                            outcome => ack.settle(outcome),
                        }
                    },
                    taken = input.recv_many(&mut batch, 1) => match batch.pop() {
                        Some(Event { webhook, ack }) => {
                            let (_, ack) = ledger.open(webhook.weight(), ack);
                            if out.send(Event { webhook, ack }).await.is_err() {
                                return Ok(());
                            }
                        }
                        None if taken == 0 => return Ok(()),
                        None => {}
                    },
                }
            }
        })
    }
}

/// The buffer `memory` with a store that counts twice.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Twice(Buffer);

impl Build for Twice {
    const NAME: &'static str = Buffer::NAME;
    const ROLE: Role = Role::Buffer;

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let Buffer { channel, limits } = self.0;
        let site = Site::of(cx)?;
        let store = site.disk.open(channel.clone(), limits.clone(), Arc::clone(&site.life));
        let store = Doubtful { store, twice: AtomicU64::new(0) };
        Ok(stages::buffer::stage(channel, limits, store, cx))
    }
}

/// A store that counts what was delivered after it had been given back once more.
struct Doubtful {
    store: Channel,
    twice: AtomicU64,
}

impl Store for Doubtful {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        self.store.append(batch).await
    }

    async fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        self.store.read(after, limit).await
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        self.store.load(sequences, most).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let removed = changes.iter().filter_map(|change| match change {
            Change::Remove { sequence } => Some(*sequence),
            Change::Defer { .. } | Change::Park { .. } | Change::Redrive { .. } | Change::Purge { .. } => {
                None
            }
        });
        let loaded = self.store.load(removed.collect(), usize::MAX).await?;
        let again = loaded.stored.iter().filter(|stored| stored.tries.begun > 0).count();
        self.store.commit(changes).await?;
        self.twice.fetch_add(again as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        self.store.deferred().await
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        self.store.parked(after, max).await
    }

    fn stats(&self) -> Stats {
        let stats = self.store.stats();
        Stats { delivered: stats.delivered + self.twice.load(Ordering::Relaxed), ..stats }
    }
}
