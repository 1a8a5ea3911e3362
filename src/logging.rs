//! Logs: to standard error, one line per event, as text or as JSON.
//!
//! What is logged is chosen by `WEBHOOK_CONNECT_LOG`, in the syntax of `tracing_subscriber::EnvFilter`; the default is
//! `info`. The flow lines, one per webhook, can be switched off or thinned out.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;

/// The target of the lines that tell one webhook's way.
const FLOW: &str = "webhook_connect::flow";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts to log. Of the flow lines, one in `flow` is written; none writes none.
///
/// # Errors
/// `WEBHOOK_CONNECT_LOG` cannot be understood.
pub(crate) fn start(format: Format, flow: Option<u64>) -> Result<(), Failure> {
    let wanted = std::env::var("WEBHOOK_CONNECT_LOG").unwrap_or_else(|_| "info".to_owned());
    let wanted: EnvFilter = wanted.parse().map_err(|error| {
        Failure::Configuration(format!("WEBHOOK_CONNECT_LOG cannot be understood: {error}"))
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let seen = AtomicU64::new(0);
    let thinned = filter_fn(move |line| {
        line.target() != FLOW
            || flow.is_some_and(|every| seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(every.max(1)))
    });
    tracing_subscriber::registry().with(lines.with_filter(thinned).with_filter(wanted)).init();
    Ok(())
}
