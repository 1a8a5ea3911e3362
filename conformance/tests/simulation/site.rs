//! What the simulated stages find among the resources of their process, and the kinds of stage there are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine::kind::{Build, Context, Kind, OpenError, Resources, Role, Stage};
use engine::limits::Limits;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::Book;
use crate::destination::Hook;
use crate::disk::{Disk, Life};
use crate::planted::{Bug, Eager, Forgetful, Twice};

/// One life of one process, as its stages see it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) book: Arc<Book>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) town: Arc<Town>,
    pub(crate) life: Life,
    /// Which connector this is.
    pub(crate) who: usize,
    /// The window of each of its channels, in webhooks.
    pub(crate) window: usize,
    /// Calls of destinations in progress, by channel.
    pub(crate) calls: Mutex<BTreeMap<String, usize>>,
}

/// The destinations, which no process of ours can crash.
#[derive(Debug, Default)]
pub(crate) struct Town {
    pub(crate) seed: u64,
    pub(crate) down: AtomicBool,
    pub(crate) slow: AtomicBool,
    /// Part of the webhooks are never taken, or only refused.
    pub(crate) poisoned: bool,
}

impl Site {
    /// Puts the site where stages find it.
    pub(crate) fn found(self, resources: &Resources) -> Arc<Self> {
        let Ok(site) = resources.get_or_make("", || Ok::<_, Infallible>(self));
        site
    }

    /// Returns the site of the process that opens a stage.
    pub(crate) fn of(cx: &Context) -> Result<Arc<Self>, OpenError> {
        let nowhere = || OpenError { what: "the stage belongs to no site".to_owned(), help: None };
        cx.resources.get_or_make("", || Err(nowhere()))
    }

    pub(crate) fn lives(&self) -> bool {
        self.life.load(Ordering::Relaxed)
    }
}

/// The buffer `memory`, over the simulated disk.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Buffer {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) limits: Limits,
}

impl Build for Buffer {
    const NAME: &'static str = "memory";
    const ROLE: Role = Role::Buffer;

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let site = Site::of(cx)?;
        let store = site.disk.open(self.channel.clone(), self.limits.clone(), Arc::clone(&site.life));
        Ok(stages::buffer::stage(self.channel, self.limits, store, cx))
    }
}

/// Returns every kind of stage, where the simulated ones stand in for what would leave the process, with one bug or none.
pub(crate) fn kinds(bug: Option<Bug>) -> Arc<[Kind]> {
    let buffer = match bug {
        Some(Bug::CountsTwice) => Kind::stage::<Twice>(),
        Some(_) | None => Kind::stage::<Buffer>(),
    };
    let destination = match bug {
        Some(Bug::AcksBeforeDelivery) => Kind::destination::<Eager>(),
        Some(_) | None => Kind::destination::<Hook>(),
    };
    let forgetful = (bug == Some(Bug::ForgetsTimers)).then(Kind::stage::<Forgetful>);
    let own: Vec<Kind> = [buffer, destination].into_iter().chain(forgetful).collect();
    let taken: Vec<&str> = own.iter().map(|kind| kind.name).collect();
    let real = stages::registry::kinds().into_iter().chain(cloud::kinds()).chain(connector::kinds());
    let real = real.filter(|kind| !taken.contains(&kind.name));
    real.chain(own.iter().copied()).collect()
}
