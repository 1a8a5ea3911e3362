//! Receiver, connectors, senders and destinations in one process on a paused clock, over a network and a disk in memory.
//!
//! A seed decides what happens: how everything is configured, what is posted, and what goes wrong when. The receiver and
//! the connectors are the product's own code; only sockets, disk, clock and chance are replaced. The same seed gives the
//! same run, to the microsecond.

#![expect(clippy::unwrap_used, reason = "a simulation that cannot go on must stop")]

mod checks;
mod client;
mod destination;
mod disk;
mod faults;
mod network;
mod planted;
mod process;
mod scenario;
mod site;
mod wire;
mod world;

use std::ops::Range;

use planted::Bug;

/// Seeds that are run unless the environment says otherwise.
const SEEDS: u64 = 560;

/// Seeds within which every planted bug must be found.
const SOON: u64 = 200;

/// Runs every seed, and shows the first that fails.
fn run_all(seeds: Range<u64>) {
    show_log();
    let (mut accepted, mut confirmed) = (0, 0);
    for seed in seeds {
        let run = world::run(seed, None);
        if !run.violations.is_empty() {
            panic!("{}\nseed {seed} fails: {:#?}", run.trace.join("\n"), run.violations);
        }
        (accepted, confirmed) = (accepted + run.counts.0, confirmed + run.counts.1);
    }
    println!("{accepted} webhooks were accepted, destinations confirmed {confirmed} times");
}

/// Shows what the product logs, when `SIMULATION_LOG` says from which level on.
fn show_log() {
    let Ok(level) = std::env::var("SIMULATION_LOG") else { return };
    let shown = tracing_subscriber::fmt().with_env_filter(level).with_timer(Simulated).with_ansi(false);
    // Another test has done so already.
    drop(shown.with_writer(std::io::stdout).try_init());
}

/// Tells the simulated time of day in lines of the log.
struct Simulated;

impl tracing_subscriber::fmt::time::FormatTime for Simulated {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        let since = engine::clock::now().duration_since(world::began()).unwrap_or_default();
        write!(writer, "{:>12.6}", since.as_secs_f64())
    }
}

/// Reads a number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Returns the first seed that finds a planted bug, with what it found.
fn found(bug: Bug) -> (u64, Vec<String>) {
    let mut runs = (0..SOON).map(|seed| (seed, world::run(seed, Some(bug)).violations));
    let found = runs.find(|(_, violations)| !violations.is_empty());
    found.unwrap_or_else(|| panic!("{bug:?} is not found by {SOON} seeds"))
}

#[test]
fn the_same_seed_gives_the_same_run() {
    show_log();
    let from = variable("SIMULATION_FROM").unwrap_or_default();
    for seed in from..from + variable("SIMULATION_SEEDS").unwrap_or(60) {
        let (one, other) = (world::run(seed, None), world::run(seed, None));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed} differs at line {at}: {} against {}", one.trace[at], other.trace[at]);
        }
        assert_eq!(one.hash, other.hash, "seed {seed}");
    }
}

#[test]
fn an_acknowledgement_before_delivery_is_found() {
    let (seed, found) = found(Bug::AcksBeforeDelivery);
    assert!(found.iter().any(|what| what.starts_with("G2")), "seed {seed}: {found:?}");
}

#[test]
fn a_forgotten_timer_is_found() {
    let (seed, found) = found(Bug::ForgetsTimers);
    assert!(found.iter().any(|what| what.starts_with("G2")), "seed {seed}: {found:?}");
}

#[test]
fn a_webhook_that_counts_twice_is_found() {
    let (seed, found) = found(Bug::CountsTwice);
    assert!(found.iter().any(|what| what.starts_with("G15")), "seed {seed}: {found:?}");
}

/// Returns a quarter of the seeds: `SIMULATION_SEEDS` from `SIMULATION_FROM` on.
fn quarter(nth: u64) -> Range<u64> {
    let from = variable("SIMULATION_FROM").unwrap_or_default();
    let all = variable("SIMULATION_SEEDS").unwrap_or(SEEDS);
    from + all * nth / 4..from + all * (nth + 1) / 4
}

#[test]
fn nothing_is_lost_in_the_first_seeds() {
    run_all(quarter(0));
}

#[test]
fn nothing_is_lost_in_the_next_seeds() {
    run_all(quarter(1));
}

#[test]
fn nothing_is_lost_in_the_seeds_after_these() {
    run_all(quarter(2));
}

#[test]
fn nothing_is_lost_in_the_last_seeds() {
    run_all(quarter(3));
}
