//! What goes wrong in one run, and when: drawn from its seed.

use std::ops::Range;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::network::Cut;

/// One thing that goes wrong or becomes well again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The connections of one connector, or of everybody, are cut.
    Cut(Option<usize>, Cut),
    /// Nothing arrives on them for a while.
    StandStill(Option<usize>, Duration),
    /// Every connector loses its connection and cannot connect again.
    Dark,
    /// By now what they held must be back in the queue.
    Returned,
    /// They can connect again.
    Light,
    /// The receiver dies; silently when the power went.
    ReceiverDies(bool),
    ReceiverStops,
    ReceiverStarts,
    ReceiverReloads,
    ConnectorDies(usize),
    ConnectorStops(usize),
    ConnectorStarts(usize),
    ConnectorReloads(usize),
    DiskFull(bool),
    DestinationsDown(bool),
    DestinationsSlow(bool),
}

/// How long after the end of a connection what it held must be back in the queue.
const RETURNED: Duration = Duration::from_millis(500);

/// Draws the steps of a run of this many connectors that lasts for `lasts`, in order.
pub(crate) fn draw(random: &mut StdRng, connectors: usize, lasts: Duration) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for _ in 0..random.random_range(1..8) {
        let at = between(random, 500..u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        push(random, connectors, at, &mut steps);
    }
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn push(random: &mut StdRng, connectors: usize, at: Duration, steps: &mut Vec<(Duration, Step)>) {
    let one = random.random_range(0..connectors);
    let some = random.random_bool(0.7).then_some(one);
    let mut pair = |first, after: Duration, then| steps.extend([(at, first), (at + after, then)]);
    match random.random_range(0..20) {
        0..4 => {
            let how = [Cut::Both, Cut::Both, Cut::DiallerOnly, Cut::ReceiverOnly][random.random_range(0..4)];
            steps.push((at, Step::Cut(some, how)));
        }
        4..6 => steps.push((at, Step::StandStill(some, between(random, 50..40_000)))),
        6..8 => {
            let dark = RETURNED + between(random, 100..3_000);
            pair(Step::Dark, RETURNED, Step::Returned);
            steps.push((at + dark, Step::Light));
        }
        8..10 => {
            let silent = random.random_bool(0.3);
            pair(Step::ReceiverDies(silent), between(random, 10..6_000), Step::ReceiverStarts);
        }
        10 => pair(Step::ReceiverStops, between(random, 10..6_000), Step::ReceiverStarts),
        11..13 => {
            pair(Step::ConnectorDies(one), between(random, 10..6_000), Step::ConnectorStarts(one));
        }
        13 => pair(Step::ConnectorStops(one), between(random, 10..6_000), Step::ConnectorStarts(one)),
        14 => pair(Step::DiskFull(true), between(random, 500..8_000), Step::DiskFull(false)),
        15 => pair(Step::DestinationsDown(true), between(random, 500..20_000), Step::DestinationsDown(false)),
        16 => pair(Step::DestinationsSlow(true), between(random, 500..20_000), Step::DestinationsSlow(false)),
        17 => steps.push((at, Step::ConnectorReloads(one))),
        _ => steps.push((at, Step::ReceiverReloads)),
    }
}

fn between(random: &mut StdRng, ms: Range<u64>) -> Duration {
    Duration::from_micros(random.random_range(ms.start * 1_000..ms.end * 1_000))
}
