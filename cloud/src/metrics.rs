//! `/metrics` in the OpenMetrics text format.

use std::sync::atomic::AtomicI64;

use engine::supply::Figures;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::answer::{self, Answer};
use crate::channel::Channel;
use crate::listener::Shared;

/// What every name begins with.
const PREFIX: &str = "webhook_connect";

/// What the parts of one metric are told apart by.
type Labels = Vec<(&'static str, String)>;

type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;

/// A figure of a channel: name, what it means, how it is read.
type Row = (&'static str, &'static str, fn(&Figures) -> i128);

const ROWS: [Row; 10] = [
    ("queued", "Webhooks that wait for a connector", |f| {
        i128::from(f.stats.live.saturating_sub(f.in_flight))
    }),
    ("queued_bytes", "Bytes of webhooks queued or in flight", |f| i128::from(f.stats.live_bytes)),
    ("in_flight", "Webhooks handed to a connector and not settled", |f| i128::from(f.in_flight)),
    ("connected_clients", "Connectors connected", |f| i128::from(f.sessions)),
    ("accepted", "Webhooks accepted, ever", |f| i128::from(f.stats.accepted)),
    ("delivered", "Webhooks delivered, ever", |f| i128::from(f.stats.delivered)),
    ("purged", "Webhooks thrown away by an operator or a bound, ever", |f| i128::from(f.stats.purged)),
    ("quarantined", "Webhooks found damaged since the start", |f| i128::from(f.stats.quarantined)),
    ("dead_letter_bytes", "Bytes of webhooks in the dead letters", |f| i128::from(f.stats.parked_bytes)),
    ("audit_imbalance", "Webhooks accepted and not accounted for; anything but 0 is a fault", |f| {
        f.stats.imbalance()
    }),
];

/// Answers with every metric.
pub(crate) async fn answer(shared: &Shared) -> Answer {
    let mut registry = Registry::with_prefix(PREFIX);
    let mut all = Vec::new();
    for channel in shared.channels.all() {
        // A channel whose buffer is being opened again has no figures at the moment.
        if let Ok(figures) = channel.supply.figures().await {
            all.push((channel, figures));
        }
    }
    register_channels(&all, &mut registry);
    register_counters(shared, &mut registry);
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return answer::detail(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written");
    }
    let mut answer = answer::json_text(StatusCode::OK, text);
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn register_channels(all: &[(std::sync::Arc<Channel>, Figures)], registry: &mut Registry) {
    for (name, help, read) in ROWS {
        let gauges = Gauges::default();
        for (channel, figures) in all {
            let labels = vec![("channel", channel.name.clone())];
            gauges.get_or_create(&labels).set(i64::try_from(read(figures)).unwrap_or(i64::MAX));
        }
        registry.register(name, help, gauges);
    }
    let parked = Gauges::default();
    for (channel, figures) in all {
        let stats = &figures.stats;
        let causes =
            [("dead_lettered", stats.dead_lettered), ("expired", stats.expired), ("dropped", stats.dropped)];
        for (cause, count) in causes {
            let labels = vec![("channel", channel.name.clone()), ("cause", cause.to_owned())];
            parked.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    registry.register("parked", "Webhooks in the dead letters", parked);
}

fn register_counters(shared: &Shared, registry: &mut Registry) {
    let counts = shared.meter.counts();
    for of_one in counts.chunk_by(|(one, ..), (other, ..)| one == other) {
        let Some((metric, ..)) = of_one.first() else { continue };
        let counters = Family::<Labels, Counter>::default();
        for (_, place, kind, count) in of_one {
            let labels = vec![("place", place.clone()), ("kind", kind.clone())];
            counters.get_or_create(&labels).inc_by(*count);
        }
        registry.register(metric.name(), metric.help(), counters);
    }
}
