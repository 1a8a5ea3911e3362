//! A disk that is full or refuses: what was confirmed stays, and the store goes on by itself once the disk does.

use std::collections::BTreeMap;

use engine::store::{Change, Store, StoreError, Tries};
use engine::webhook::{Webhook, from_micros};

use super::super::{Channel, Embedded, Options};
use super::sim::Sim;
use super::{ALL, Is, SMALL, dump, open, webhook};

/// A store, what was confirmed, and what was refused.
struct Scene {
    disk: Sim,
    store: Embedded,
    channel: Channel,
    confirmed: BTreeMap<u64, (Webhook, Is)>,
    refused: Vec<Webhook>,
}

impl Scene {
    /// Four confirmed webhooks.
    async fn new() -> Self {
        let disk = Sim::default();
        let store = open(&disk);
        let channel = store.channel("a");
        let mut scene = Self { disk, store, channel, confirmed: BTreeMap::new(), refused: Vec::new() };
        for _ in 0..2 {
            scene.append().await.unwrap();
        }
        scene
    }

    /// Appends two webhooks, 419 bytes in all and small enough for the open segment, and notes what became of them.
    async fn append(&mut self) -> Result<(), StoreError> {
        let batch = vec![webhook(20), webhook(20)];
        match self.channel.append(batch.clone()).await {
            Ok(sequences) => {
                for (sequence, webhook) in sequences.into_iter().zip(batch) {
                    let last = self.confirmed.last_key_value().map_or(0, |(last, _)| *last);
                    assert!(sequence > last, "{sequence} after {last}");
                    self.confirmed.insert(sequence, (webhook, Is::Queued));
                }
                Ok(())
            }
            Err(error) => {
                self.refused.extend(batch);
                Err(error)
            }
        }
    }

    /// Leaves room for `bytes` more.
    fn fill_up(&self, bytes: usize) {
        let used = self.disk.used();
        self.disk.world().capacity = Some(used + bytes);
    }

    /// The disk is as it was when everything was well.
    fn heal(&self) {
        let mut world = self.disk.world();
        (world.capacity, world.syncs_fail, world.truncates_fail) = (None, false, false);
    }

    async fn remove(&mut self, sequence: u64) {
        self.channel.commit(vec![Change::Remove { sequence }]).await.unwrap();
        self.confirmed.remove(&sequence);
    }

    /// What was confirmed and nothing else is served, and counts.
    async fn serves_the_confirmed(&self) {
        assert_eq!(dump(&self.channel).await, self.confirmed);
    }

    /// After another opening what was confirmed is there; what was refused may be, under its own id.
    async fn reopens(self) {
        let Self { disk, store, channel, confirmed, refused } = self;
        drop((store, channel));
        let mut found = dump(&open(&disk).channel("a")).await;
        found.retain(|sequence, (webhook, _)| confirmed.contains_key(sequence) || !refused.contains(webhook));
        assert_eq!(found, confirmed);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_a_batch_whole_and_serves_what_was_confirmed() {
    let mut scene = Scene::new().await;
    let before = scene.channel.stats();
    // One webhook of the two would fit.
    scene.fill_up(200);

    let refused = scene.append().await.unwrap_err();

    assert!(matches!(refused, StoreError::Medium { what: "append", .. }), "{refused}");
    assert_eq!(scene.channel.stats(), before);
    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn once_there_is_room_again_appends_go_on_without_reopening() {
    let mut scene = Scene::new().await;
    scene.fill_up(100);
    for _ in 0..3 {
        scene.append().await.unwrap_err();
    }

    scene.heal();
    scene.append().await.unwrap();

    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn webhooks_are_removed_on_a_full_disk() {
    let mut scene = Scene::new().await;
    scene.fill_up(0);
    scene.append().await.unwrap_err();

    for sequence in [2, 4, 1] {
        scene.remove(sequence).await;
    }

    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn appends_leave_the_room_for_removals_alone() {
    let mut scene = Scene::new().await;
    scene.fill_up(0);
    // The first stays, so that no segment can go.
    scene.remove(4).await;
    while scene.append().await.is_ok() {}

    for sequence in [3, 2] {
        scene.remove(sequence).await;
    }

    scene.serves_the_confirmed().await;
    scene.heal();
    scene.append().await.unwrap();
    scene.reopens().await;
}

#[tokio::test]
async fn a_backlog_that_fills_the_disk_can_be_delivered() {
    // Given a disk full of small webhooks that wait, in segments so large that removing all of one takes more than 1 MiB.
    let disk = Sim::default();
    let options = Options { segment_bytes: 8 << 20, ..SMALL };
    let store = Embedded::open_on(Box::new(disk.clone()), None, options).unwrap();
    let channel = store.channel("a");
    while disk.used() < 14 << 20 {
        channel.append(vec![webhook(100); 500]).await.unwrap();
    }
    let (used, last) = (disk.used(), channel.stats().last_sequence);
    disk.world().capacity = Some(used);

    let waiting: Vec<_> = (1..=last).map(|sequence| Change::Remove { sequence }).collect();
    for few in waiting.chunks(4) {
        channel.commit(few.to_vec()).await.unwrap();
    }

    assert_eq!((channel.stats().delivered, channel.stats().live), (last, 0));
    channel.append(vec![webhook(100); 500]).await.unwrap();
}

#[tokio::test]
async fn a_refused_sync_refuses_the_append_and_the_next_goes_on() {
    let mut scene = Scene::new().await;
    scene.disk.world().syncs_fail = true;
    for _ in 0..3 {
        scene.append().await.unwrap_err();
        scene.serves_the_confirmed().await;
    }

    scene.heal();
    scene.append().await.unwrap();

    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn what_a_refused_sync_leaves_behind_is_found_under_its_own_id_or_not_at_all() {
    for truncates_fail in [false, true] {
        let mut scene = Scene::new().await;
        (scene.disk.world().syncs_fail, scene.disk.world().truncates_fail) = (true, truncates_fail);
        scene.append().await.unwrap_err();
        scene.heal();

        scene.reopens().await;
    }
}

#[tokio::test]
async fn the_sequences_of_a_refused_sync_are_not_given_again() {
    let mut scene = Scene::new().await;
    (scene.disk.world().syncs_fail, scene.disk.world().truncates_fail) = (true, true);
    scene.append().await.unwrap_err();
    scene.heal();
    let left_behind = dump(&open(&scene.disk.fork()).channel("a")).await;
    assert_eq!(left_behind.len(), 6);

    scene.append().await.unwrap();

    let new: Vec<_> = scene.confirmed.into_keys().skip(4).collect();
    assert!(new.iter().all(|sequence| !left_behind.contains_key(sequence)), "{new:?}");
}

#[tokio::test]
async fn a_full_disk_that_cannot_be_cut_back_loses_nothing_either() {
    // Nothing of the refused batch is written, part of a webhook, one and a part, both.
    for room in [0, 100, 200, 400] {
        let mut scene = Scene::new().await;
        scene.fill_up(room);
        scene.disk.world().truncates_fail = true;
        for _ in 0..3 {
            scene.append().await.unwrap_err();
            scene.serves_the_confirmed().await;
        }
        let disk = scene.disk.fork();

        scene.heal();
        scene.append().await.unwrap();
        scene.serves_the_confirmed().await;

        let Scene { confirmed, refused, .. } = &scene;
        let before = confirmed.iter().filter(|(n, _)| **n <= 4).map(|(n, one)| (*n, one.clone())).collect();
        // Stopped before it healed.
        let store = open(&disk);
        let channel = store.channel("a");
        Scene { disk, store, channel, confirmed: before, refused: refused.clone() }.reopens().await;
        scene.reopens().await;
    }
}

#[tokio::test]
async fn removed_webhooks_give_their_room_back() {
    let mut scene = Scene::new().await;
    scene.remove(1).await;
    for _ in 0..100 {
        scene.append().await.unwrap();
        let oldest: Vec<_> = scene.confirmed.keys().copied().take(2).collect();
        for sequence in oldest {
            scene.remove(sequence).await;
        }
    }

    let bound = (1 << 20) + 5 * (2 << 10);
    assert!(scene.disk.used() < bound, "{} of {bound}", scene.disk.used());
    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn a_webhook_that_stays_for_ever_holds_no_room_back() {
    let mut scene = Scene::new().await;
    let tries = Tries { begun: 3, counted: 2 };
    let until = Some(from_micros(7));
    scene.channel.commit(vec![Change::Defer { sequence: 1, tries, until }]).await.unwrap();
    scene.confirmed.get_mut(&1).unwrap().1 = Is::Deferred { tries, until: Some(7) };
    for _ in 0..100 {
        scene.append().await.unwrap();
        let others: Vec<_> = scene.confirmed.keys().copied().skip(1).collect();
        for sequence in others {
            scene.remove(sequence).await;
        }
    }

    // Twice what is held is let be, and a segment.
    let bound = (1 << 20) + 8 * (2 << 10);
    assert!(scene.disk.used() < bound, "{} of {bound}", scene.disk.used());
    scene.serves_the_confirmed().await;
    scene.reopens().await;
}

#[tokio::test]
async fn a_webhook_larger_than_a_segment_reads_back_equal() {
    let disk = Sim::default();
    let store = open(&disk);
    let webhooks = [webhook(10), webhook(10 << 20), webhook(10)];
    for webhook in &webhooks {
        store.channel("a").append(vec![webhook.clone()]).await.unwrap();
    }
    for store in [store, open(&disk)] {
        let read = store.channel("a").read(0, ALL).await.unwrap();
        assert!(read.iter().map(|one| &one.webhook).eq(&webhooks), "other bytes");
    }
}

#[tokio::test]
async fn a_reserve_that_a_crash_cut_short_is_set_aside_again() {
    let scene = Scene::new().await;
    let whole = scene.disk.world().files["reserve"].bytes.len();
    assert!(whole > 0);
    for kept in [0, whole / 2] {
        drop(open(&scene.disk));
        scene.disk.world().files.get_mut("reserve").unwrap().bytes.truncate(kept);

        drop(open(&scene.disk));

        assert_eq!(scene.disk.world().files["reserve"].bytes.len(), whole);
    }
}

#[tokio::test]
async fn a_load_stops_at_its_bound_and_says_what_is_gone() {
    let disk = Sim::default();
    let channel = open(&disk).channel("a");
    channel.append((0..5).map(|_| webhook(100)).collect()).await.unwrap();
    channel.commit(vec![Change::Remove { sequence: 2 }]).await.unwrap();
    let weight = webhook(100).weight();
    let load = async |most| {
        let loaded = channel.load(vec![1, 2, 3, 4, 9], most).await.unwrap();
        (loaded.stored.iter().map(|one| one.sequence).collect::<Vec<_>>(), loaded.gone)
    };

    assert_eq!(load(0).await, (vec![1], vec![2, 9]), "the first however large");
    assert_eq!(load(2 * weight).await, (vec![1, 3], vec![2, 9]));
    assert_eq!(load(usize::MAX).await, (vec![1, 3, 4], vec![2, 9]));
}
