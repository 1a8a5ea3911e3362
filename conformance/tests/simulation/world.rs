//! One run: everything starts, goes wrong, becomes well, and must come to its end.

mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use engine::clock;
use engine::kind::Kind;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::checks::Book;
use crate::client::Client;
use crate::disk::Disk;
use crate::faults::Step;
use crate::network::{Cut, Network, Party};
use crate::planted::Bug;
use crate::process::{Process, life};
use crate::scenario::{Scenario, channel};
use crate::site::{Site, Town, kinds};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) violations: Vec<String>,
    pub(crate) hash: u64,
    pub(crate) trace: Vec<String>,
    /// Webhooks accepted, confirmations of destinations.
    pub(crate) counts: (usize, u32),
}

/// Everything there is in one run.
struct World {
    scenario: Scenario,
    kinds: Arc<[Kind]>,
    book: Arc<Book>,
    disk: Arc<Disk>,
    town: Arc<Town>,
    network: Arc<Network>,
    receiver: Option<Process>,
    connectors: Vec<Option<Process>>,
    /// Of the configuration.
    version: u64,
    /// Processes started so far.
    started: u64,
    /// When the connectors lost their connections, while the receiver has not been touched since.
    dark: bool,
}

/// Returns the time of day when every run begins.
pub(crate) fn began() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Runs the seed, with one bug or none.
pub(crate) fn run(seed: u64, bug: Option<Bug>) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let _time = clock::simulate(began());
        let mut world = World::new(Scenario::draw(seed), bug);
        world.live().await;
        let book = Arc::clone(&world.book);
        drop(world);
        let (violations, trace) = (book.violations(), book.trace());
        Run { violations, hash: book.hash(), trace, counts: book.counts() }
    })
}

impl World {
    fn new(scenario: Scenario, bug: Option<Bug>) -> Self {
        let seed = scenario.seed;
        let book = Arc::new(Book::new());
        book.note(format!("{scenario:?}"));
        let town = Town { seed, poisoned: scenario.poisoned, ..Town::default() };
        Self {
            kinds: kinds(bug),
            disk: Arc::new(Disk::new(Arc::clone(&book), StdRng::seed_from_u64(seed ^ 0xD15C))),
            town: Arc::new(town),
            network: Arc::new(Network::new(seed)),
            receiver: None,
            connectors: scenario.connectors.iter().map(|_| None).collect(),
            version: 0,
            started: 0,
            dark: false,
            book,
            scenario,
        }
    }

    /// From the start to the end.
    async fn live(&mut self) {
        self.start_receiver().await;
        for who in 0..self.connectors.len() {
            self.start_connector(who).await;
        }
        let senders: Vec<_> = (0..self.scenario.senders).map(|nth| self.send(nth)).collect();
        let audit = self.audit();
        let began = Instant::now();
        for (at, step) in self.scenario.steps.clone() {
            tokio::time::sleep_until(began + at).await;
            self.book.note(format!("{step:?}"));
            self.take(step).await;
        }
        tokio::time::sleep_until(began + self.scenario.lasts).await;
        self.heal().await;
        for sender in senders {
            sender.await.unwrap();
        }
        self.settle().await;
        self.probe().await;
        audit.abort();
        self.check_all().await;
    }

    async fn take(&mut self, step: Step) {
        let of = |who: Option<usize>| {
            move |party| who.is_none_or(|who| party == Party::Connector(who)) && party != Party::Operator
        };
        match step {
            Step::Cut(who, how) => drop(self.network.cut(of(who), how)),
            Step::StandStill(who, lasts) => self.network.stand_still(of(who), Instant::now() + lasts),
            Step::Dark => self.lose_connectors(true),
            Step::Returned => self.check_returned().await,
            Step::Light => self.lose_connectors(false),
            Step::ReceiverDies(silent) => self.kill_receiver(silent).await,
            Step::ReceiverStops => {
                self.dark = false;
                if let Some(receiver) = self.receiver.take() {
                    receiver.stop().await;
                    self.network.crash_receiver(false);
                    self.disk.crash().await;
                }
            }
            Step::ReceiverStarts => self.start_receiver().await,
            Step::ReceiverReloads => {
                self.dark = false;
                self.version += 1;
                let plans = self.scenario.webhooks(self.version, &self.kinds);
                if let Some(receiver) = &mut self.receiver {
                    receiver.reload(plans).await;
                }
            }
            Step::ConnectorDies(who) => {
                if let Some(connector) = self.connectors[who].take() {
                    self.check_window(&connector);
                    connector.die();
                    self.network.cut(of(Some(who)), Cut::Both);
                }
            }
            Step::ConnectorStops(who) => {
                if let Some(connector) = self.connectors[who].take() {
                    self.check_window(&connector);
                    connector.stop().await;
                    self.network.cut(of(Some(who)), Cut::Both);
                }
            }
            Step::ConnectorStarts(who) => self.start_connector(who).await,
            Step::ConnectorReloads(who) => {
                self.version += 1;
                let plans = self.scenario.connector(who, self.version, &self.kinds);
                if let Some(connector) = &mut self.connectors[who] {
                    connector.reload(plans).await;
                }
            }
            Step::DiskFull(full) => self.disk.fill(full),
            Step::DestinationsDown(down) => self.town.down.store(down, Ordering::Relaxed),
            Step::DestinationsSlow(slow) => self.town.slow.store(slow, Ordering::Relaxed),
        }
    }

    fn site(&self, who: usize) -> Site {
        Site {
            book: Arc::clone(&self.book),
            disk: Arc::clone(&self.disk),
            town: Arc::clone(&self.town),
            life: life(),
            who,
            window: self.scenario.connectors.get(who).map_or(0, |connector| connector.window),
            calls: std::sync::Mutex::default(),
        }
    }

    fn next_seed(&mut self) -> u64 {
        self.started += 1;
        self.scenario.seed ^ self.started << 48
    }

    async fn start_receiver(&mut self) {
        if self.receiver.is_some() {
            return;
        }
        let (seed, plans) = (self.next_seed(), self.scenario.webhooks(self.version, &self.kinds));
        let (site, settings) = (self.site(usize::MAX), self.scenario.receiver());
        let receiver = Process::receiver(site, seed, &self.kinds, plans, settings, &self.network).await;
        self.receiver = Some(receiver);
    }

    async fn kill_receiver(&mut self, silent: bool) {
        self.dark = false;
        if let Some(receiver) = self.receiver.take() {
            receiver.die();
            self.network.crash_receiver(silent);
            self.disk.crash().await;
        }
    }

    async fn start_connector(&mut self, who: usize) {
        if self.connectors[who].is_some() {
            return;
        }
        let (seed, plans) = (self.next_seed(), self.scenario.connector(who, self.version, &self.kinds));
        let connector = Process::connector(self.site(who), seed, &self.kinds, plans, &self.network).await;
        self.connectors[who] = Some(connector);
    }

    fn lose_connectors(&mut self, lost: bool) {
        for who in 0..self.connectors.len() {
            self.network.refuse(Party::Connector(who), lost);
        }
        self.dark = lost && self.receiver.is_some();
        if lost {
            self.network.cut(|party| matches!(party, Party::Connector(_)), Cut::Both);
        }
    }

    /// Everything is well from now on.
    async fn heal(&mut self) {
        self.book.note("everything is well".to_owned());
        self.network.heal();
        self.disk.fill(false);
        self.town.down.store(false, Ordering::Relaxed);
        self.town.slow.store(false, Ordering::Relaxed);
        self.start_receiver().await;
        for who in 0..self.connectors.len() {
            self.start_connector(who).await;
        }
    }

    /// Posts what one sender has to post.
    fn send(&self, nth: usize) -> tokio::task::JoinHandle<()> {
        let mut random = StdRng::seed_from_u64(self.scenario.seed ^ (nth as u64) << 40);
        let (book, mut client) = (Arc::clone(&self.book), Client::new(&self.network, Party::Sender));
        let (posts, channels) = (self.scenario.posts, self.scenario.channels);
        let pause = 2 * self.scenario.lasts / u32::try_from(posts).unwrap_or(1);
        tokio::spawn(async move {
            for _ in 0..posts {
                tokio::time::sleep(pause.mul_f64(random.random_range(0.0..1.0))).await;
                let (number, body) = book.posts(random.random_range(0..2_000));
                let status = client.post(&channel(random.random_range(0..channels)), &body).await;
                book.answered(number, status);
            }
        })
    }
}
