//! The settings of `subscribe`.

use std::convert::Infallible;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytestring::ByteString;
use engine::backoff::Backoff;
use engine::config::{Environment, Faults, Node, Secret};
use engine::kind::{Build, Context, OpenError, Role, Stage};
use engine::ledger::Window;
use engine::meter::Metric;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::Address;
use crate::recent::Recent;
use crate::reconnect::Reconnect;
use crate::status::Board;
use crate::subscribe::Source;
use crate::transport::{Dialer, Fallback, Network, Protocol, Proxy, Tls, TlsFiles, Way};

/// The largest window of webhooks.
const MOST_IN_FLIGHT: u32 = 100_000;

/// Take the webhooks of one channel from a receiver.
///
/// A webhook is settled with the receiver once what follows is done with it, and not before.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscribe {
    /// The receiver: `https://host[:port][/prefix]`, with or without `/connect/stream`. `http`, `ws` and `wss` are taken
    /// too; `http` and `ws` are not encrypted.
    #[schemars(with = "String")]
    url: Address,
    /// The channel whose webhooks to take.
    channel: String,
    /// The channel's token. Never printed.
    token: Secret,
    /// The name of this connector in the receiver's status and logs.
    #[serde(default)]
    connector_id: String,
    /// Webhooks that may be in progress at a time, 100,000 at most. More keep more destinations busy and are delivered
    /// again when the connector dies.
    #[serde(default = "default_in_flight")]
    #[schemars(range(min = 1, max = 100_000))]
    max_in_flight: NonZeroU32,
    /// Bytes that may be in progress at a time. A larger webhook passes alone.
    #[serde(default = "default_in_flight_bytes")]
    max_in_flight_bytes: NonZeroU64,
    /// How long to wait before connecting again.
    #[serde(default)]
    reconnect: Waits,
    /// How to speak to the receiver. `auto` takes the best that gets through.
    #[serde(default)]
    protocol: Protocol,
    /// Certificates of the connection, for `https` and `wss`.
    #[serde(default)]
    tls: TlsFiles,
    /// Only watch: see every webhook of the channel from now on, beside the connectors that share them. What becomes of
    /// it here is told to nobody: what the destination does not take is gone for this tap, and what finds the tap too slow
    /// is missed, counted and logged.
    #[serde(default)]
    tap: bool,
}

/// The waits between tries to connect. Each is drawn evenly between zero and a bound that doubles.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Waits {
    /// The first bound, in seconds.
    initial_seconds: Seconds,
    /// The largest bound, in seconds.
    max_seconds: Seconds,
    /// Once another way than the best had to be taken, how long until the best is tried again, in seconds. In vain, it
    /// doubles, up to an hour.
    better_seconds: Seconds,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            initial_seconds: Seconds(Duration::from_secs(1)),
            max_seconds: Seconds(Duration::from_secs(60)),
            better_seconds: Seconds(Duration::from_secs(300)),
        }
    }
}

/// A wait, in seconds.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
#[schemars(extend("minimum" = 0.001, "maximum" = 3600))]
struct Seconds(#[schemars(with = "f64")] Duration);

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if (0.001..=3600.0).contains(&seconds) {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("expected seconds, 0.001 to 3,600")
        }
    }
}

fn default_in_flight() -> NonZeroU32 {
    const { NonZeroU32::new(100).expect("not zero") }
}

fn default_in_flight_bytes() -> NonZeroU64 {
    const { NonZeroU64::new(64 * 1024 * 1024).expect("not zero") }
}

impl Build for Subscribe {
    const NAME: &'static str = "subscribe";
    const ROLE: Role = Role::Subscribe;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let mut add = |key: &str, problem: &str| faults.add(&at.at().child(key), problem, None);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.channel.is_empty() || !self.channel.bytes().all(fits) {
            add("channel", "a channel name has letters, digits, `-`, `_` and `.`");
        }
        if self.token.is_empty() || !self.token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            add("token", "a token has printable ASCII characters and no spaces");
        }
        if self.max_in_flight.get() > MOST_IN_FLIGHT {
            add("max_in_flight", "expected 100,000 at most");
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            add("tls", "`cert` and `key` belong together, and one is missing");
        }
        if self.reconnect.max_seconds.0 < self.reconnect.initial_seconds.0 {
            add("reconnect", "`max_seconds` is smaller than `initial_seconds`");
        }
    }

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        let channel = ByteString::from(self.channel);
        let fails = |what| OpenError { what, help: None };
        let proxy = Proxy::find(&Environment, &self.url).map_err(fails)?;
        let tls = match self.url.tls {
            true => Some(open_tls(self.tls, cx).map_err(fails)?),
            false => None,
        };
        let window = Window {
            events: usize::try_from(self.max_in_flight.get()).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.max_in_flight_bytes.get()).unwrap_or(usize::MAX),
        };
        let network = Network::of(&cx.resources);
        let connector = if self.tap { tap_name(&self.connector_id) } else { self.connector_id.into() };
        let way = Way { channel: channel.clone(), connector, window, tap: self.tap, tls, proxy, network };
        let dialer = Dialer::new(self.url, self.token, way);
        let dialer = dialer.map_err(|_| fails("the token cannot be sent in a header".to_owned()))?;
        let Ok(recent) =
            cx.resources.get_or_make(&channel, || Ok::<_, Infallible>(Mutex::new(Recent::default())));
        let duplicates = cx.meter.counter(Metric::Duplicates, &cx.name, "");
        let (status, posted) = Board::shared(&cx.resources).post(&channel, duplicates);
        cx.lasting.keep(posted);
        let backoff = Backoff::doubling(self.reconnect.initial_seconds.0, self.reconnect.max_seconds.0);
        Ok(Box::new(Source {
            window,
            dialer: Arc::new(dialer),
            fallback: Fallback::new(self.protocol, self.reconnect.better_seconds.0),
            reconnect: Reconnect::new(backoff, cx.random()),
            recent,
            status,
            connections: cx.meter.counter(Metric::Connections, &channel, ""),
            misunderstood: cx.meter.counter(Metric::NotUnderstood, &channel, ""),
            beyond_window: cx.meter.counter(Metric::Limits, &channel, "window"),
            stop: cx.stop.clone(),
            tap: self.tap,
            channel,
        }))
    }
}

/// Returns the name of one tap. Receivers remember by it where a tap stands that polls, and connectors that were started from
/// one file have the same `connector_id`.
fn tap_name(connector: &str) -> ByteString {
    let own = rand::random::<u32>();
    let connector = Some(connector).filter(|name| !name.is_empty()).unwrap_or("tap");
    format!("{connector}-{own:08x}").into()
}

/// Returns what makes encrypted connections, which all channels with the same files share.
fn open_tls(files: TlsFiles, cx: &Context) -> Result<Arc<Tls>, String> {
    let name = format!("{files:?}");
    cx.resources.get_or_make(&name, || Tls::open(files))
}
