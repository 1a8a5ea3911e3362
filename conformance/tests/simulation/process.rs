//! The two ends of Webhook Connect as processes that start, reload, stop and die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::chance::Chance;
use engine::graph::plan::Plan;
use engine::kind::{Kind, Resources};
use engine::meter::Metric;
use engine::pipeline::{Opened, Pipelines, Surroundings};
use schemas::receiver::Receiver;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::network::{Access, Network, Party};
use crate::site::Site;

/// How long pipelines may take to finish when they are replaced, and at the end.
const GRACE: Duration = Duration::from_secs(2);

/// One life of one process. Dropping it ends every task it has, with whatever they were doing.
pub(crate) struct Process {
    pub(crate) site: Arc<Site>,
    stop: watch::Sender<bool>,
    surroundings: Surroundings,
    pipelines: Pipelines,
    serving: Option<AbortOnDropHandle<()>>,
}

impl Process {
    /// Starts a process with these plans.
    async fn start(
        site: Site,
        seed: u64,
        kinds: &Arc<[Kind]>,
        plans: Vec<Plan>,
        network: Option<connector::Network>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let surroundings = Surroundings::new(Arc::clone(kinds), stopped);
        let resources = &surroundings.resources;
        let site = site.found(resources);
        put(resources, Chance::seeded(seed));
        if let Some(network) = network {
            put(resources, network);
        }
        let opened = Opened::all(plans, &surroundings).await.unwrap();
        let pipelines = Pipelines::run(opened, &surroundings);
        Self { site, stop, surroundings, pipelines, serving: None }
    }

    /// Starts a receiver.
    pub(crate) async fn receiver(
        site: Site,
        seed: u64,
        kinds: &Arc<[Kind]>,
        plans: Vec<Plan>,
        settings: Receiver,
        network: &Network,
    ) -> Self {
        let mut process = Self::start(site, seed, kinds, plans, None).await;
        let listener = network.listen();
        let settings = cloud::Settings {
            admin_token: settings.admin_token,
            drain: Duration::from_secs(settings.drain_seconds),
            ..cloud::Settings::default()
        };
        let surroundings = process.surroundings.clone();
        let serving = async move { cloud::serve(listener, settings, &surroundings).await.unwrap() };
        process.serving = Some(AbortOnDropHandle::new(tokio::spawn(serving)));
        process
    }

    /// Starts a connector.
    pub(crate) async fn connector(
        site: Site,
        seed: u64,
        kinds: &Arc<[Kind]>,
        plans: Vec<Plan>,
        network: &Arc<Network>,
    ) -> Self {
        let access = Access(Arc::clone(network), Party::Connector(site.who));
        Self::start(site, seed, kinds, plans, Some(connector::Network::new(access))).await
    }

    /// Replaces its pipelines.
    pub(crate) async fn reload(&mut self, plans: Vec<Plan>) {
        self.pipelines.replace(plans, GRACE).await.unwrap();
    }

    /// Stops as after SIGTERM.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(serving) = self.serving.take() {
            serving.await.unwrap();
        }
        // What has not ended by then goes with the process.
        drop(tokio::time::timeout(GRACE, self.pipelines.ended()).await);
        self.die();
    }

    /// Dies on the spot.
    pub(crate) fn die(self) {
        self.site.life.store(false, Ordering::Relaxed);
    }

    /// Returns how many webhooks came beyond the window of a connector.
    pub(crate) fn beyond_window(&self) -> u64 {
        let counts = self.surroundings.meter.counts().into_iter();
        let beyond = counts.filter(|(metric, _, kind, _)| *metric == Metric::Limits && kind == "window");
        beyond.map(|(.., count)| count).sum()
    }
}

/// Returns the sign of life of a process that starts.
pub(crate) fn life() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

fn put<T: Send + Sync + 'static>(resources: &Resources, value: T) {
    let Ok(_) = resources.get_or_make("", || Ok::<_, std::convert::Infallible>(value));
}
