//! The gate that takes so many webhooks within a window and no more.
//!
//! The window slides: within any `window_seconds`, never more than `max_requests` pass. What is turned away does not
//! count. Counts live in memory and begin anew when the pipeline is opened or replaced.

mod clients;
mod window;

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use engine::ack::Answer;
use engine::config::{Faults, Node};
use engine::kind::Gate;
use engine::meter::{Counter, Edge, Metric};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::warn;

use self::clients::Clients;

/// The largest `max_requests`.
const MOST_REQUESTS: u32 = 1_000_000;

/// The longest window, in seconds.
const LONGEST: u32 = 86_400;

/// The most clients that are told apart: some 100 bytes to 2 KiB each.
const MOST_CLIENTS: u32 = 100_000;

/// How often the log says that the limit is reached.
const TELL: Duration = Duration::from_secs(10);

/// Take at most so many webhooks within a window of time. More are answered 429 with `Retry-After`.
///
/// It stands behind the gates that prove the sender by what the webhook holds, so that only senders who passed those use it up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// Whether there is a limit at all.
    #[serde(default = "RateLimit::default_enabled")]
    enabled: bool,
    /// How many webhooks are taken within any window, up to 1,000,000. 0 takes none.
    #[serde(default = "RateLimit::default_max_requests")]
    #[schemars(range(max = 1_000_000))]
    max_requests: u32,
    /// The length of the window in seconds, up to 86,400.
    #[serde(default = "RateLimit::default_window")]
    #[schemars(range(max = 86_400))]
    window_seconds: NonZeroU32,
    /// What is counted together.
    #[serde(default)]
    per: Per,
    /// How many clients are told apart, up to 100,000. Beyond, those that were quiet longest are forgotten, and may send
    /// anew.
    #[serde(default = "RateLimit::default_max_clients")]
    #[schemars(range(max = 100_000))]
    max_clients: NonZeroU32,
    #[serde(skip)]
    state: Mutex<State>,
    /// How many clients were forgotten while they still counted.
    #[serde(skip)]
    forgotten: OnceLock<Counter>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Per {
    /// Everything that is sent to the webhook.
    #[default]
    Webhook,
    /// What comes from one address, behind `trusted_proxies` too. The addresses of one IPv6 network of 64 bits count as
    /// one.
    Client,
}

#[derive(Debug, Default)]
struct State {
    clients: Clients,
    /// When the log was told last.
    told: Option<Instant>,
    /// How many were turned away since.
    refused: u64,
}

impl RateLimit {
    fn default_enabled() -> bool {
        true
    }

    fn default_max_requests() -> u32 {
        100
    }

    fn default_window() -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(59)
    }

    fn default_max_clients() -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(9_999)
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.get().into())
    }

    fn key(&self, source: IpAddr) -> Option<IpAddr> {
        match (self.per, source) {
            (Per::Webhook, _) => None,
            (Per::Client, IpAddr::V4(address)) => Some(address.into()),
            (Per::Client, IpAddr::V6(address)) => Some(network(address)),
        }
    }

    /// Counts a webhook, or returns how long to wait.
    fn take(&self, webhook: &Webhook) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let most = usize::try_from(self.max_clients.get()).unwrap_or(usize::MAX);
        let (window, forgotten) =
            state.clients.window(self.key(webhook.head.source), now, self.window(), most);
        let taken = window.take(now, self.window(), self.max_requests);
        if let Some(counter) = self.forgotten.get().filter(|_| forgotten > 0) {
            counter.add(forgotten);
        }
        if taken.is_err() {
            self.tell(&mut state, now, webhook);
        }
        taken
    }

    /// Says now and then that the limit is reached.
    fn tell(&self, state: &mut State, now: Instant, webhook: &Webhook) {
        state.refused += 1;
        if state.told.is_none_or(|told| now - told >= TELL) {
            let (webhook, refused) = (&webhook.head.webhook, state.refused);
            let (max_requests, window_seconds) = (self.max_requests, self.window_seconds);
            warn!(%webhook, refused, max_requests, window_seconds, "the rate limit is reached");
            (state.told, state.refused) = (Some(now), 0);
        }
    }
}

/// Returns the network of 64 bits that an address belongs to, which is what one customer has at least.
fn network(address: Ipv6Addr) -> IpAddr {
    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
}

impl Gate for RateLimit {
    const NAME: &'static str = "rate_limit";
    const PROVES_SENDER: bool = false;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let bounds = [
            ("max_requests", self.max_requests, MOST_REQUESTS),
            ("window_seconds", self.window_seconds.get(), LONGEST),
            ("max_clients", self.max_clients.get(), MOST_CLIENTS),
        ];
        for (key, value, most) in bounds {
            if value > most {
                faults.add(&at.at().child(key), format!("expected at most {most}"), None);
            }
        }
    }

    fn measure(&self, edge: &Edge) {
        self.forgotten.get_or_init(|| edge.counter(Metric::Limits, "rate_limit_clients"));
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        if !self.enabled {
            return Ok(());
        }
        self.take(webhook).map_err(|wait| {
            Answer::new(429, "Too many requests").retry_after(wait).because("the rate limit is reached")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, faults, parse};
    use engine::kind::Kind;
    use engine::meter::Meter;
    use serde_json::{Value, json};
    use tokio::time::advance;

    /// Sends a webhook from `source` and returns how long it is to wait; 0 when it passed.
    async fn send(gate: &RateLimit, source: &str) -> u64 {
        let webhook = Request { source: source.parse().unwrap(), ..Request::default() }.webhook();
        match gate.admit(&webhook).await {
            Ok(()) => 0,
            Err(answer) => {
                assert_eq!((answer.status, answer.detail), (429, "Too many requests"));
                answer.retry_after.unwrap().as_secs()
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_slides_and_says_when_there_is_room_again() {
        let gate: RateLimit = parse(json!({"max_requests": 2, "window_seconds": 60}));
        assert_eq!(send(&gate, "192.0.2.1").await, 0);
        advance(Duration::from_secs(20)).await;
        assert_eq!(send(&gate, "192.0.2.2").await, 0);
        assert_eq!(send(&gate, "192.0.2.3").await, 40);
        advance(Duration::from_secs(40)).await;
        assert_eq!(send(&gate, "192.0.2.3").await, 0, "the first one has left the window");
        assert_eq!(send(&gate, "192.0.2.3").await, 20, "the second one has not");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_counted_apart_and_an_ipv6_network_as_one() {
        let gate: RateLimit = parse(json!({"max_requests": 1, "per": "client"}));
        for (source, wait) in [
            ("192.0.2.1", 0),
            ("192.0.2.1", 60),
            ("192.0.2.2", 0),
            ("2001:db8::1", 0),
            ("2001:db8::ffff:1", 60),
            ("2001:db8:0:1::1", 0),
        ] {
            assert_eq!(send(&gate, source).await, wait, "{source}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_forgets_who_was_quiet_longest_and_counts_it() {
        let gate: RateLimit = parse(json!({"max_requests": 1, "per": "client", "max_clients": 8}));
        let meter = Meter::default();
        gate.measure(&Edge::new(&meter, "c.buffer"));
        let forgotten = meter.counter(Metric::Limits, "c.buffer", "rate_limit_clients");
        for n in 0..9 {
            assert_eq!(send(&gate, &format!("192.0.2.{n}")).await, 0);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(forgotten.get(), 1);
        assert_eq!(send(&gate, "192.0.2.8").await, 59);
        assert_eq!(send(&gate, "192.0.2.1").await, 52);
        assert_eq!(send(&gate, "192.0.2.0").await, 0, "it was forgotten");
        advance(Duration::from_secs(60)).await;
        assert_eq!(send(&gate, "192.0.2.9").await, 0);
        assert_eq!(forgotten.get(), 2, "those who do not count any more are no loss");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_passes_a_limit_of_nothing_and_everything_one_that_is_off() {
        assert_eq!(send(&parse(json!({"max_requests": 0, "window_seconds": 5})), "192.0.2.1").await, 5);
        assert_eq!(send(&parse(json!({"max_requests": 0, "enabled": false})), "192.0.2.1").await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_within_a_minute_pass_unless_more_is_said() {
        let gate: RateLimit = parse(json!({}));
        for _ in 0..100 {
            assert_eq!(send(&gate, "192.0.2.1").await, 0);
        }
        assert_eq!(send(&gate, "192.0.2.1").await, 60);
    }

    #[test]
    fn settings_beyond_the_bounds_are_refused() {
        let told = |settings: Value| faults(&settings, Kind::gate::<RateLimit>());
        let beyond = json!({"max_requests": 1_000_001, "window_seconds": 86_401, "max_clients": 100_001});
        assert_eq!(told(beyond).len(), 3);
        assert_eq!(
            told(json!({"window_seconds": 0, "max_clients": 0, "per": "header", "max_request": 1})).len(),
            4
        );
        assert_eq!(told(json!({"max_requests": "100", "window_seconds": "60"})), [""; 0]);
    }
}
