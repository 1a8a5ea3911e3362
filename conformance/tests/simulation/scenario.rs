//! One run, drawn from its seed: how many of what, how they are configured, what goes wrong.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::config::{Faults, Nobody, Node, Pointer};
use engine::graph::check::check;
use engine::graph::draft::Draft;
use engine::graph::plan::Plan;
use engine::kind::Kind;
use engine::limits::Limits;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::connections::Connections;
use schemas::receiver::{Flags, Receiver};
use schemas::{connector, receiver, webhooks};
use serde_json::{Map, Value, json};

use crate::faults::{self, Step};

/// The token of the admin API.
pub(crate) const ADMIN: &str = "admin";

/// The parts of one run.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) channels: usize,
    pub(crate) connectors: Vec<Connector>,
    pub(crate) limits: Limits,
    pub(crate) poisoned: bool,
    pub(crate) senders: usize,
    /// Webhooks of one sender.
    pub(crate) posts: usize,
    /// How long things go wrong.
    pub(crate) lasts: Duration,
    pub(crate) steps: Vec<(Duration, Step)>,
}

/// How one connector is configured.
#[derive(Debug)]
pub(crate) struct Connector {
    protocol: &'static str,
    pub(crate) window: usize,
    attempts: u32,
}

impl Connector {
    /// Tells whether it may poll. What a poll brings is a lease: it returns at its deadline, and makes room before it is
    /// settled.
    pub(crate) fn may_poll(&self) -> bool {
        matches!(self.protocol, "auto" | "long_poll")
    }
}

fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// Returns the name of a channel, which is also the id of the webhook that feeds it.
pub(crate) fn channel(number: usize) -> String {
    format!("c{number}")
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let random = &mut StdRng::seed_from_u64(seed);
        let ways = ["auto", "websocket", "websocket", "websocket_compatible", "sse", "long_poll"];
        let connectors = (0..random.random_range(1..3)).map(|_| Connector {
            protocol: pick(random, &ways),
            window: pick(random, &[1, 2, 5, 20, 100]),
            attempts: random.random_range(1..4),
        });
        let connectors: Vec<Connector> = connectors.collect();
        // The other dialects do not tell the deadline: their connectors show progress as the default one wants it.
        let native = connectors.iter().all(|connector| connector.protocol == "websocket");
        let poisoned = random.random_bool(0.5);
        let limits = Limits {
            ttl_seconds: pick(random, &[86_400, 86_400, 86_400, 20]),
            max_queue_size: pick(random, &[10_000, 10_000, 20]),
            max_queue_bytes: pick(random, &[1 << 30, 1 << 30, 20_000]),
            max_deliveries: pick(random, &[50, 50, 4]),
            ack_timeout_seconds: if native { random.random_range(2..12) } else { 31 },
            max_in_flight: pick(random, &[1, 4, 30, 100]),
            max_in_flight_bytes: pick(random, &[64 << 20, 5_000]),
            heartbeat_seconds: random.random_range(1..8),
            ..Limits::default()
        };
        let lasts = Duration::from_secs(random.random_range(8..30));
        let steps = faults::draw(random, connectors.len(), lasts);
        Self {
            seed,
            channels: random.random_range(1..3),
            limits,
            poisoned,
            senders: random.random_range(1..4),
            posts: random.random_range(5..25),
            lasts,
            steps,
            connectors,
        }
    }

    /// Reads the receiver's own settings.
    pub(crate) fn receiver(&self) -> Receiver {
        let file = json!({"admin_token": ADMIN, "buffer": {"url": "memory:"}, "drain_seconds": 2});
        let mut faults = Faults::default();
        let file = Node::new(file, Pointer::root());
        let read = receiver::read(Some(&file), Path::new(""), &Nobody, &Flags::new(), &mut faults);
        read.unwrap_or_else(|| panic!("{faults:?}"))
    }

    /// Reads `webhooks.json` in this version and checks it.
    pub(crate) fn webhooks(&self, version: u64, kinds: &Arc<[Kind]>) -> Vec<Plan> {
        let mut limits = self.limits.clone();
        limits.ack_timeout_seconds += version % 3;
        let entries = (0..self.channels).map(|number| {
            let mut config = json!(limits);
            config["channel"] = json!(channel(number));
            config["channel_token"] = json!("token");
            let entry = json!({"data_type": "blob", "module": "webhook_connect", "module-config": config});
            (channel(number), entry)
        });
        let file = Value::Object(entries.collect::<Map<_, _>>());
        plans(file, kinds, |root, faults| webhooks::read(root, &self.receiver(), &nothing(), faults))
    }

    /// Reads one connector's `connector.json` in this version and checks it.
    pub(crate) fn connector(&self, who: usize, version: u64, kinds: &Arc<[Kind]>) -> Vec<Plan> {
        let Connector { protocol, window, attempts } = self.connectors[who];
        let route = json!({
            "module": "http_webhook",
            "module-config": { "url": "http://localhost/" },
            "retry": { "max_attempts": u64::from(attempts) + version % 2, "initial_delay": 0.2, "max_delay": 5 },
        });
        let routes = (0..self.channels).map(|number| (channel(number), route.clone()));
        let file = json!({
            "cloud": { "url": "http://127.0.0.1:8080", "token": "token" },
            "connector_id": format!("connector-{who}"),
            "max_in_flight": window,
            "protocol": protocol,
            "reconnect": { "initial_seconds": 0.2, "max_seconds": 3, "better_seconds": 5 },
            "routes": routes.collect::<Map<_, _>>(),
        });
        plans(file, kinds, |root, faults| connector::read(root, &nothing(), faults))
    }
}

fn nothing() -> Connections {
    Connections::read(None, &mut Faults::default())
}

fn plans(file: Value, kinds: &Arc<[Kind]>, read: impl FnOnce(&Node, &mut Faults) -> Vec<Draft>) -> Vec<Plan> {
    let mut faults = Faults::default();
    let drafts = read(&Node::new(file, Pointer::root()), &mut faults);
    let plans = check(drafts, kinds, &mut faults);
    plans.filter(|_| faults.is_empty()).unwrap_or_else(|| panic!("the configuration is at fault: {faults:?}"))
}
