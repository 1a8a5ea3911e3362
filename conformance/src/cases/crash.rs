//! Ends that stand still for longer than a link may be silent, and ends that are killed in turn.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::cases::durability::drain;
use crate::cases::fidelity::to_http;
use crate::party::destination::Destination;
use crate::party::process::Process;
use crate::party::receiver::{Receiver, Setup, Stats};
use crate::party::sender::{DELIVERY, Load};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long webhooks may take through both ends once both run.
const MOST: Duration = Duration::from_secs(60);

/// How long an end stands still: more than two heartbeats of a second.
const STILL: Duration = Duration::from_millis(3_500);

/// How often ends are killed in turn.
const ROUNDS: usize = 10;

/// The variable that repeats the moments of an earlier run.
const SEED: &str = "CONFORMANCE_SEED";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "DUR-09",
        title: "either end that stands still for longer than two heartbeats, and goes on, loses nothing",
        proves: "G5 G15",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(standing_still(stand)),
    },
    Case {
        id: "DUR-10",
        title: "both ends killed in turn under load lose nothing that was answered 2xx",
        proves: "G14",
        needs_durability: true,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(killed_in_turn(stand)),
    },
];

/// Moments at which something is killed: random, and the same again for the same seed.
pub(super) struct Moments(u64);

impl Moments {
    /// Takes the seed from the environment, else from the clock, and notes it.
    ///
    /// # Errors
    /// The seed that was given is no number.
    pub(super) fn seeded(stand: &Stand) -> Result<Self, Failed> {
        let seed = match std::env::var(SEED) {
            Ok(given) => given.parse()?,
            Err(_) => u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.subsec_nanos()),
        };
        stand.note(format!("moments: {SEED}={seed}"));
        Ok(Self(seed))
    }

    /// Returns the next number (SplitMix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number within `range`.
    pub(super) fn count(&mut self, range: Range<usize>) -> usize {
        let width = u64::try_from(range.len().max(1)).unwrap_or(u64::MAX);
        range.start + usize::try_from(self.next() % width).unwrap_or(0)
    }

    /// Returns a time below `most` microseconds.
    pub(super) fn micros(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.next() % most.max(1))
    }
}

fn lively() -> Setup {
    Setup::limits(json!({
        "max_queue_size": 1_000_000, "max_in_flight": 200, "max_deliveries": 1000, "heartbeat_seconds": 1,
    }))
}

/// A connector of the product, its destination and the senders.
struct Rig {
    connector: Process,
    destination: Destination,
    load: Load,
}

impl Rig {
    async fn start(stand: &Stand, receiver: &Receiver) -> Result<Self, Failed> {
        let destination = Destination::start().await?;
        let connector = stand.connector(&to_http(receiver, &destination.url()))?;
        Ok(Self { connector, destination, load: Load::start(receiver.address(), 2, 200) })
    }

    /// Waits until the destination was called `more` times more.
    async fn works(&self, more: usize) -> Result<(), Failed> {
        let before = self.destination.count();
        let works = until("webhooks arrive", MOST, || async {
            Ok((self.destination.count() >= before + more).then_some(()))
        });
        works
            .await
            .map_err(|Failed(why)| Failed(format!("{why}\n{}", self.connector.log().unwrap_or_default())))
    }

    /// Ends the load, and checks that everything answered 2xx has arrived and the audit balances.
    async fn ends(mut self, stand: &Stand, receiver: &Receiver, what: &str) -> Result<(), Failed> {
        let accepted = self.load.end().await;
        let done = |stats: &Stats| stats.count("messages_queued") + stats.count("messages_in_flight") == 0;
        let stats = receiver.settles("everything is delivered", MOST, done).await?;
        let calls = self.destination.calls();
        let seen: BTreeSet<_> = calls.iter().map(|call| call.header(DELIVERY).to_owned()).collect();
        let lost: Vec<_> = accepted.difference(&seen).collect();
        stand.note(format!(
            "{what}: {} answered 2xx, {} lost, {} calls for {} webhooks",
            accepted.len(),
            lost.len(),
            calls.len(),
            seen.len()
        ));
        ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
        ensure_eq("webhooks in the dead letters", &stats.count("messages_dead_lettered"), &0)?;
        self.connector.kill().await
    }
}

async fn standing_still(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(lively()).await?;
    let rig = Rig::start(&stand, &receiver).await?;
    rig.works(20).await?;
    // What the connector holds is given to others while it stands still.
    rig.connector.signal("STOP").await?;
    receiver.settles("its session is over", MOST, |stats| stats.count("connected_clients") == 0).await?;
    let given_back = |stats: &Stats| stats.count("messages_in_flight") == 0;
    receiver.settles("what it held is given back", MOST, given_back).await?;
    let mut link = receiver.link(1).await?;
    let one = link.next(MOST).await?;
    link.give_back(&one, engine::ack::Cause::Unreachable, Some(Duration::ZERO)).await?;
    drop(link);
    rig.connector.signal("CONT").await?;
    rig.works(20).await?;
    // A receiver that stands still is left, and found again.
    receiver.process()?.signal("STOP").await?;
    tokio::time::sleep(STILL).await;
    receiver.process()?.signal("CONT").await?;
    rig.works(20).await?;
    rig.ends(&stand, &receiver, "standing still").await
}

async fn killed_in_turn(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(lively()).await?;
    let mut moments = Moments::seeded(&stand)?;
    let mut rig = Rig::start(&stand, &receiver).await?;
    let config = to_http(&receiver, &rig.destination.url());
    for round in 0..ROUNDS {
        rig.works(moments.count(1..30)).await?;
        tokio::time::sleep(moments.micros(20_000)).await;
        if round % 2 == 0 {
            receiver.kill().await?;
            // The connector is killed as well now and then, while there is no receiver.
            if round % 4 == 0 {
                rig.connector.kill().await?;
                rig.connector = stand.connector(&config)?;
            }
            receiver.restart().await?;
        } else {
            rig.connector.kill().await?;
            rig.connector = stand.connector(&config)?;
        }
    }
    rig.ends(&stand, &receiver, "killed in turn").await?;
    drain(&receiver, &mut BTreeSet::new()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        let all = |seed| {
            let mut moments = Moments(seed);
            [0; 8].map(|_| (moments.count(1..30), moments.micros(20_000)))
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
        assert!(all(7).iter().all(|(count, moment)| (1..30).contains(count) && moment.as_micros() < 20_000));
    }
}
