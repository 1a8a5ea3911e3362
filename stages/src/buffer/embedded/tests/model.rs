//! Random work with a crash at any operation: nothing that was confirmed is missing, and the audit balances.

use std::collections::{BTreeMap, BTreeSet};

use engine::store::{Change, ParkCause, Stats, Store, Tries};
use engine::webhook::{Id, Webhook, from_micros, to_micros};
use proptest::prelude::*;

use super::super::{Channel, Embedded};
use super::sim::Sim;
use super::{Is, dump, open, webhook};

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u16>),
    /// Changes to webhooks picked by their place among those that are there.
    Commit(Vec<(u8, Pick)>),
    Reopen,
    /// The machine stops after so many operations of the disk.
    Crash(u8, u64),
}

#[derive(Clone, Copy, Debug)]
enum Pick {
    Remove,
    Defer(u32, Option<u32>),
    Park(ParkCause),
    Redrive,
    Purge,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let cause =
        prop_oneof![Just(ParkCause::DeadLettered), Just(ParkCause::Expired), Just(ParkCause::Dropped)];
    let pick = prop_oneof![
        6 => Just(Pick::Remove),
        2 => (0u32..9, any::<Option<u32>>()).prop_map(|(n, until)| Pick::Defer(n, until)),
        2 => cause.prop_map(Pick::Park),
        1 => Just(Pick::Redrive),
        1 => Just(Pick::Purge),
    ];
    let op = prop_oneof![
        6 => prop::collection::vec(0u16..400, 1..6).prop_map(Op::Append),
        6 => prop::collection::vec((any::<u8>(), pick), 1..8).prop_map(Op::Commit),
        1 => Just(Op::Reopen),
        2 => (0u8..12, any::<u64>()).prop_map(|(fuse, seed)| Op::Crash(fuse, seed)),
    ];
    prop::collection::vec(op, 1..60)
}

/// What a channel must hold.
#[derive(Default)]
struct Model {
    there: BTreeMap<u64, (Webhook, Is)>,
    stats: Stats,
    /// Ids whose append was refused: they may turn up after a crash.
    refused: BTreeSet<Id>,
}

impl Model {
    fn append(&mut self, sequences: &[u64], batch: Vec<Webhook>) {
        for (sequence, webhook) in sequences.iter().zip(batch) {
            assert!(*sequence > self.stats.last_sequence, "{sequence} was given before");
            self.stats.last_sequence = *sequence;
            self.stats.accepted += 1;
            self.there.insert(*sequence, (webhook, Is::Queued));
        }
    }

    fn change(&mut self, change: &Change) {
        let (Change::Remove { sequence }
        | Change::Defer { sequence, .. }
        | Change::Park { sequence, .. }
        | Change::Redrive { sequence }
        | Change::Purge { sequence }) = change;
        let Some((_, is)) = self.there.get_mut(sequence) else { return };
        let was = is.clone();
        let (tries, parked) = match &was {
            Is::Queued => (Tries::default(), false),
            Is::Deferred { tries, .. } => (*tries, false),
            Is::Parked { tries, .. } => (*tries, true),
        };
        match change {
            Change::Remove { .. } | Change::Purge { .. } => drop(self.there.remove(sequence)),
            Change::Defer { tries, until, .. } if !parked => {
                *is = Is::Deferred { tries: *tries, until: until.map(to_micros) };
            }
            Change::Park { cause, reason, tries: new, .. } if !parked => {
                *is = Is::Parked { cause: *cause, reason: reason.clone(), tries: new.unwrap_or(tries) };
            }
            Change::Redrive { .. } if parked => *is = Is::Deferred { tries: Tries::default(), until: None },
            Change::Defer { .. } | Change::Park { .. } | Change::Redrive { .. } => {}
        }
        match change {
            Change::Remove { .. } => self.stats.delivered += 1,
            Change::Purge { .. } => self.stats.purged += 1,
            Change::Defer { .. } | Change::Park { .. } | Change::Redrive { .. } => {}
        }
    }

    fn change_of(&self, place: u8, pick: Pick) -> Change {
        let at = usize::from(place) * (self.there.len() + 1) / 256;
        let sequence = self.there.keys().nth(at).copied().unwrap_or(u64::MAX);
        match pick {
            Pick::Remove => Change::Remove { sequence },
            Pick::Purge => Change::Purge { sequence },
            Pick::Redrive => Change::Redrive { sequence },
            Pick::Park(cause) => {
                let tries = (sequence % 2 == 0).then_some(Tries { begun: 7, counted: 3 });
                Change::Park { sequence, cause, reason: "of the model".to_owned(), tries }
            }
            Pick::Defer(n, until) => Change::Defer {
                sequence,
                tries: Tries { begun: n + 1, counted: n },
                until: until.map(|until| from_micros(u64::from(until))),
            },
        }
    }

    /// Everything is exactly as the model has it.
    async fn matches(&self, channel: &Channel) {
        assert_eq!(dump(channel).await, self.there);
        let stats = channel.stats();
        let of = |stats: &Stats| (stats.accepted, stats.delivered, stats.purged, stats.last_sequence);
        assert_eq!(of(&stats), of(&self.stats));
        // Only a crash tears one, and only one that was refused; it may be found again at the next start.
        assert!(stats.quarantined <= self.stats.quarantined, "{stats:?}");
    }

    /// After a crash during `unsure` each webhook is as before or as after some of those changes. What is there becomes
    /// the model.
    async fn adopt(&mut self, channel: &Channel, unsure: &[Change]) {
        let found = dump(channel).await;
        for (sequence, (webhook, is)) in &self.there {
            let mut possible = vec![Some(is.clone())];
            for change in unsure {
                let mut after: Vec<_> = possible
                    .iter()
                    .flatten()
                    .map(|is| {
                        let mut one = Self::default();
                        one.there.insert(*sequence, (webhook.clone(), is.clone()));
                        one.change(change);
                        one.there.remove(sequence).map(|(_, is)| is)
                    })
                    .collect();
                possible.append(&mut after);
            }
            let now = found.get(sequence);
            assert!(possible.contains(&now.map(|(_, is)| is.clone())), "{sequence}: {is:?} became {now:?}");
            assert!(now.is_none_or(|(now, _)| now == webhook), "{sequence} is another webhook now");
        }
        for (sequence, (webhook, _)) in &found {
            let known = self.there.contains_key(sequence) || self.refused.contains(&webhook.id());
            assert!(known, "{sequence} came from nowhere");
        }
        let stats = channel.stats();
        let new = found.keys().filter(|sequence| !self.there.contains_key(sequence)).count() as u64;
        assert_eq!(
            stats.accepted,
            self.stats.accepted + new + (stats.purged - self.stats.purged).min(stats.quarantined)
        );
        self.there = found;
        self.stats = stats;
    }
}

async fn run(ops: Vec<Op>) {
    let disk = Sim::default();
    let mut store = open(&disk);
    let mut models = [Model::default(), Model::default()];
    let mut unsure: [Vec<Change>; 2] = Default::default();
    let mut restart = None;
    for (n, op) in ops.into_iter().enumerate() {
        let which = n % 2;
        let channel = store.channel(["a", "b"][which]);
        let model = &mut models[which];
        let mut died = false;
        match op {
            Op::Append(sizes) => {
                let batch: Vec<_> = sizes.iter().map(|size| webhook(usize::from(*size))).collect();
                match channel.append(batch.clone()).await {
                    Ok(sequences) => model.append(&sequences, batch),
                    Err(_) => {
                        model.refused.extend(batch.iter().map(Webhook::id));
                        died = true;
                    }
                }
            }
            Op::Commit(picks) => {
                let changes: Vec<_> =
                    picks.into_iter().map(|(place, pick)| model.change_of(place, pick)).collect();
                if channel.commit(changes.clone()).await.is_ok() {
                    changes.iter().for_each(|change| model.change(change));
                } else {
                    unsure[which] = changes;
                    died = true;
                }
            }
            Op::Reopen if restart.is_none() => {
                drop((channel, store));
                store = open(&disk);
                for (name, model) in ["a", "b"].into_iter().zip(&models) {
                    model.matches(&store.channel(name)).await;
                }
                continue;
            }
            Op::Reopen => {}
            Op::Crash(fuse, seed) => {
                if restart.is_none() {
                    disk.world().fuse = Some(u64::from(fuse));
                    restart = Some(seed);
                }
            }
        }
        if died {
            store = reopened(&disk, store, restart.take().expect("only a crash fails")).await;
            for ((name, model), unsure) in ["a", "b"].into_iter().zip(&mut models).zip(&mut unsure) {
                model.adopt(&store.channel(name), unsure).await;
                unsure.clear();
            }
        }
    }
    disk.world().fuse = None;
}

async fn reopened(disk: &Sim, store: Embedded, seed: u64) -> Embedded {
    drop(store);
    disk.restart(seed);
    open(disk)
}

/// A refused webhook of which a crash left a torn part may be found again when the store is opened again.
#[tokio::test]
async fn what_a_crash_tore_is_found_again() {
    let sizes = [&[144, 295][..], &[50, 396], &[0, 261], &[130, 342], &[127, 108], &[289, 231, 41, 156]];
    let mut ops: Vec<Op> = sizes.iter().map(|sizes| Op::Append(sizes.to_vec())).collect();
    ops.push(Op::Commit(vec![(0, Pick::Remove), (0, Pick::Remove)]));
    ops.extend([Op::Crash(1, 0), Op::Append(vec![249, 252, 249]), Op::Append(vec![252])]);
    ops.extend([Op::Crash(3, 8_175_067_693_128_830_089), Op::Append(vec![0, 248, 122, 399]), Op::Reopen]);
    run(ops).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_confirmed_is_missing(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(ops));
    }
}
