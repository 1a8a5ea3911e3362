//! A disk that rots: what is damaged costs what cannot be read and no more, and is reported.

use std::collections::BTreeMap;

use engine::store::{Change, ParkCause, Stats, Store, Tries};
use engine::webhook::{Webhook, from_micros};

use super::super::Channel;
use super::super::entry::HEADER;
use super::sim::Sim;
use super::{ALL, Is, dump, open, webhook};

type Held = BTreeMap<u64, (Webhook, Is)>;

/// A closed store, what it holds, and what each webhook has been through: none once it was gone.
#[derive(Default)]
struct Scene {
    disk: Sim,
    held: Held,
    past: BTreeMap<u64, (Webhook, Vec<Option<Is>>)>,
}

impl Scene {
    /// Twelve webhooks in mixed states.
    async fn mixed() -> Self {
        let tries = Tries { begun: 2, counted: 1 };
        let until = Some(from_micros(5));
        let changes = [
            vec![Change::Remove { sequence: 2 }, Change::Defer { sequence: 3, tries, until: None }],
            vec![park(4, ParkCause::DeadLettered), park(5, ParkCause::Expired), park(6, ParkCause::Dropped)],
            vec![Change::Redrive { sequence: 5 }, Change::Purge { sequence: 6 }],
            vec![Change::Defer { sequence: 8, tries, until }, Change::Remove { sequence: 3 }],
        ];
        Self::after(changes.into()).await
    }

    /// Two webhooks that outlived the segment they were written to, and one that has just come.
    async fn copied_forward() -> Self {
        let defer = Change::Defer { sequence: 1, tries: Tries { begun: 9, counted: 8 }, until: None };
        let mut changes = vec![vec![defer, park(2, ParkCause::Expired), Change::Remove { sequence: 3 }]];
        changes.extend((1..12).map(|n| (1..=3).map(|i| Change::Remove { sequence: 3 * n + i }).collect()));
        changes.last_mut().unwrap().pop();
        Self::after(changes).await
    }

    /// Before each of the commits three webhooks are appended.
    async fn after(commits: Vec<Vec<Change>>) -> Self {
        let mut scene = Self::default();
        let channel = open(&scene.disk).channel("a");
        for changes in commits {
            append(&channel, 3).await;
            scene.note(&channel).await;
            channel.commit(changes).await.unwrap();
            scene.note(&channel).await;
        }
        close(&scene.disk, channel);
        scene
    }

    async fn note(&mut self, channel: &Channel) {
        self.held = dump(channel).await;
        for (sequence, (webhook, _)) in &self.held {
            self.past.entry(*sequence).or_insert_with(|| (webhook.clone(), Vec::new()));
        }
        for (sequence, (_, states)) in &mut self.past {
            states.push(self.held.get(sequence).map(|(_, is)| is.clone()));
        }
    }

    /// Checks what a flipped bit does at every byte of every file. Returns how often a webhook was lost, and how often one
    /// went back to an earlier state.
    async fn flip_each(&self) -> (usize, usize) {
        let (mut lost, mut back) = (0, 0);
        for (file, at) in places(&self.disk) {
            let disk = self.disk.fork();
            flip(&disk, &file, at);

            let channel = open(&disk).channel("a");
            let found = dump(&channel).await;

            let quarantined = channel.stats().quarantined;
            assert!(quarantined <= 1, "{file} {at}: {quarantined}");
            let differ: Vec<_> =
                self.past.keys().filter(|n| self.held.get(n) != found.get(n)).copied().collect();
            assert!(differ.len() <= 1, "{file} {at}: {differ:?}");
            let Some(sequence) = differ.first() else { continue };
            if let Some((webhook, is)) = found.get(sequence) {
                let (before, states) = &self.past[sequence];
                assert!(states.contains(&Some(is.clone())), "{file} {at}: {sequence} became {is:?}");
                assert_eq!(webhook, before, "{file} {at}");
                back += 1;
            } else {
                assert_eq!(quarantined, 1, "{file} {at}: {sequence} is lost without a word");
                assert!(is_set_aside(&disk, &file, at), "{file} {at}");
                lost += 1;
            }
        }
        (lost, back)
    }
}

fn park(sequence: u64, cause: ParkCause) -> Change {
    Change::Park { sequence, cause, reason: "no".to_owned(), tries: None }
}

async fn append(channel: &Channel, count: usize) -> Vec<Webhook> {
    let webhooks: Vec<_> = (0..count).map(|_| webhook(8)).collect();
    channel.append(webhooks.clone()).await.unwrap();
    webhooks
}

/// Closes the store. The room set aside says nothing and makes each fork dear, so it is emptied.
fn close(disk: &Sim, channel: Channel) {
    drop(channel);
    disk.world().files.get_mut("reserve").unwrap().bytes.clear();
}

/// As after a crash that came before the sidecars were on the disk.
fn lose_sidecars(disk: &Sim) {
    disk.world().files.retain(|name, _| !name.ends_with(".idx"));
}

fn flip(disk: &Sim, file: &str, at: usize) {
    disk.world().files.get_mut(file).unwrap().bytes[at] ^= 1 << (at % 8);
}

/// The names and bytes of the files whose names end so.
fn files(disk: &Sim, ending: &str) -> BTreeMap<String, Vec<u8>> {
    let world = disk.world();
    let wanted = world.files.iter().filter(|(name, _)| name.ends_with(ending));
    wanted.map(|(name, file)| (name.clone(), file.bytes.clone())).collect()
}

/// Every byte of every file.
fn places(disk: &Sim) -> Vec<(String, usize)> {
    let all = files(disk, "").into_iter();
    all.flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name.clone(), at))).collect()
}

/// Where the entry of a new webhook lies: segment and first byte.
fn entry_of(disk: &Sim, webhook: &Webhook) -> (String, usize) {
    let found = files(disk, ".log").into_iter().find_map(|(name, bytes)| {
        let id = bytes.windows(16).position(|window| window == webhook.id().0)?;
        Some((name, id - 8 - HEADER))
    });
    found.expect("its id stands in a segment")
}

/// True when the quarantine holds the bytes around a place.
fn is_set_aside(disk: &Sim, segment: &str, at: usize) -> bool {
    let bytes = &files(disk, segment)[segment];
    let prefix = format!("quarantine/{}-", segment.trim_end_matches(".log"));
    files(disk, ".bin").iter().any(|(name, copy)| {
        let offset = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".bin")?.parse().ok());
        let place = offset.map(|from: usize| from..from + copy.len());
        place.is_some_and(|place| place.contains(&at) && bytes[place] == copy[..])
    })
}

#[tokio::test]
async fn a_flipped_bit_anywhere_costs_one_webhook_at_most() {
    let (lost, _) = Scene::mixed().await.flip_each().await;

    assert!(lost > 0);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_costs_one_webhook_at_most_when_segments_are_read_themselves() {
    let scene = Scene::mixed().await;
    lose_sidecars(&scene.disk);

    let (lost, back) = scene.flip_each().await;

    assert!(lost > 0 && back > 0);
}

#[tokio::test]
async fn a_flipped_bit_costs_no_more_where_webhooks_were_copied_forward() {
    let scene = Scene::copied_forward().await;
    lose_sidecars(&scene.disk);
    assert_eq!(scene.held.len(), 3);
    assert!(files(&scene.disk, ".log").keys().all(|name| !name.starts_with("00000001")), "copied");

    let (lost, _) = scene.flip_each().await;

    assert!(lost > 0);
}

#[tokio::test]
async fn after_a_flipped_bit_what_is_there_stays_and_no_sequence_is_given_twice() {
    let scene = Scene::mixed().await;
    lose_sidecars(&scene.disk);
    // Every seventh byte, as each is opened twice: no entry is that short.
    for (file, at) in places(&scene.disk).into_iter().step_by(7) {
        let disk = scene.disk.fork();
        flip(&disk, &file, at);
        let channel = open(&disk).channel("a");
        let mut found = dump(&channel).await;

        let new = append(&channel, 1).await.remove(0);
        found.insert(13, (new, Is::Queued));
        let stats = channel.stats();
        drop(channel);
        let channel = open(&disk).channel("a");

        assert_eq!(dump(&channel).await, found, "{file} {at}");
        assert_eq!(channel.stats(), Stats { quarantined: 0, ..stats }, "{file} {at}: reported twice");
    }
}

#[tokio::test]
async fn a_flipped_bit_leaves_the_figures_of_an_idle_channel_alone() {
    let scene = Sim::default();
    let store = open(&scene);
    let (idle, busy) = (store.channel("idle"), store.channel("busy"));
    append(&idle, 2).await;
    idle.commit(vec![Change::Remove { sequence: 1 }, Change::Purge { sequence: 2 }]).await.unwrap();
    for sequence in 1..12 {
        append(&busy, 1).await;
        busy.commit(vec![Change::Remove { sequence }]).await.unwrap();
    }
    let stats = idle.stats();
    drop((store, idle));
    close(&scene, busy);
    lose_sidecars(&scene);
    assert_eq!(files(&scene, ".log").len(), 1, "what it did is in no segment any more");
    for (file, at) in places(&scene) {
        let disk = scene.fork();
        flip(&disk, &file, at);

        assert_eq!(open(&disk).channel("idle").stats(), stats, "{file} {at}");
    }
}

#[tokio::test]
async fn a_webhook_damaged_while_the_store_is_open_is_left_out_and_counted_once() {
    let scene = Sim::default();
    let channel = open(&scene).channel("a");
    let webhooks = append(&channel, 3).await;
    let (segment, start) = entry_of(&scene, &webhooks[1]);
    let (_, end) = entry_of(&scene, &webhooks[2]);
    close(&scene, channel);
    for at in start..end {
        let disk = scene.fork();
        let channel = open(&disk).channel("a");
        flip(&disk, &segment, at);

        let read = channel.read(0, ALL).await.unwrap();

        let read: Vec<_> = read.into_iter().map(|one| (one.sequence, one.webhook)).collect();
        assert_eq!(read, [(1, webhooks[0].clone()), (3, webhooks[2].clone())], "byte {at}");
        let stats = channel.stats();
        assert_eq!((stats.purged, stats.quarantined, stats.imbalance()), (1, 1, 0), "byte {at}");
        assert!(is_set_aside(&disk, &segment, at));
        drop(channel);
        let channel = open(&disk).channel("a");
        assert_eq!(dump(&channel).await.into_keys().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(channel.stats(), Stats { quarantined: 0, ..stats }, "byte {at} is reported twice");
        assert_eq!(files(&disk, ".bin").len(), 1, "byte {at} is set aside twice");
    }
}

async fn damaged_while_copied_forward(sidecars: bool) {
    let disk = Sim::default();
    let channel = open(&disk).channel("a");
    let kept = append(&channel, 1).await.remove(0);
    let (segment, at) = entry_of(&disk, &kept);
    flip(&disk, &segment, at + HEADER);

    for sequence in 2..100 {
        append(&channel, 1).await;
        channel.commit(vec![Change::Remove { sequence }]).await.unwrap();
        if !sidecars {
            lose_sidecars(&disk);
        }
    }

    assert!(!files(&disk, ".log").contains_key(&segment));
    let stats = channel.stats();
    assert_eq!((stats.purged, stats.quarantined, stats.live, stats.imbalance()), (1, 1, 0, 0));
}

#[tokio::test]
async fn a_webhook_found_damaged_when_it_is_copied_forward_holds_no_room_back() {
    damaged_while_copied_forward(true).await;
}

#[tokio::test]
async fn a_webhook_found_damaged_in_a_segment_without_a_sidecar_holds_no_room_back() {
    damaged_while_copied_forward(false).await;
}

#[tokio::test]
async fn a_torn_end_costs_nothing_that_was_confirmed_before() {
    let scene = Sim::default();
    let channel = open(&scene).channel("a");
    append(&channel, 2).await;
    let before = dump(&channel).await;
    let (segment, whole) = files(&scene, ".log").pop_last().unwrap();
    append(&channel, 2).await;
    let end = files(&scene, ".log")[&segment].len();
    close(&scene, channel);
    for len in whole.len()..end {
        let disk = scene.fork();
        disk.world().files.get_mut(&segment).unwrap().bytes.truncate(len);

        let channel = open(&disk).channel("a");
        let mut found = dump(&channel).await;

        assert!(before.iter().all(|(n, one)| found.get(n) == Some(one)), "{len}: {found:?}");
        let new = append(&channel, 1).await.remove(0);
        found.insert(found.len() as u64 + 1, (new, Is::Queued));
        drop(channel);
        assert_eq!(dump(&open(&disk).channel("a")).await, found, "cut to {len}");
    }
}

#[tokio::test]
async fn a_missing_segment_costs_what_it_held_and_is_reported() {
    let scene = Scene::after(vec![vec![Change::Remove { sequence: 1 }]; 10]).await;
    let segments: Vec<_> = files(&scene.disk, ".log").into_keys().collect();
    let (newest, older) = segments.split_last().unwrap();
    for segment in &segments {
        let disk = scene.disk.fork();
        let (lost, mut rest): (Held, Held) =
            scene.held.clone().into_iter().partition(|(_, (one, _))| entry_of(&disk, one).0 == *segment);
        disk.world().files.remove(segment);

        let channel = open(&disk).channel("a");

        assert_eq!(dump(&channel).await, rest, "without {segment}");
        if segment == newest {
            // What it said is said nowhere else; that it is missing is, and its number is not used again.
            let (number, _) = segment.split_once('-').unwrap();
            let gone = u32::from_str_radix(number, 16).unwrap();
            append(&channel, 1).await;
            close(&disk, channel);
            let names: Vec<_> = files(&disk, ".log").into_keys().collect();
            assert!(names.last().unwrap().starts_with(&format!("{:08x}-", gone + 1)), "{names:?}");
            continue;
        }
        let (stats, count) = (channel.stats(), lost.len() as u64);
        assert_eq!((stats.accepted, stats.purged, stats.quarantined), (30, count, count));
        let new = append(&channel, 1).await.remove(0);
        rest.insert(31, (new, Is::Queued));
        drop(channel);
        let channel = open(&disk).channel("a");
        assert_eq!(dump(&channel).await, rest);
        assert_eq!((channel.stats().purged, channel.stats().quarantined), (count, 0));
    }
    assert!(older.len() > 1);
}

#[tokio::test]
async fn a_sidecar_that_is_missing_torn_or_damaged_costs_nothing() {
    let Scene { disk: scene, held, .. } = Scene::mixed().await;
    let stats = open(&scene.fork()).channel("a").stats();
    for (sidecar, bytes) in files(&scene, ".idx") {
        let torn = (0..bytes.len()).map(|len| Some(bytes[..len].to_vec()));
        for instead in torn.chain([None]) {
            let disk = scene.fork();
            match &instead {
                Some(bytes) => disk.world().files.get_mut(&sidecar).unwrap().bytes.clone_from(bytes),
                None => drop(disk.world().files.remove(&sidecar)),
            }

            let channel = open(&disk).channel("a");

            assert_eq!(dump(&channel).await, held, "{sidecar} as {instead:?}");
            assert_eq!(channel.stats(), stats);
            assert_ne!(files(&disk, ".idx").get(&sidecar), instead.as_ref(), "it is made anew");
        }
    }
}
