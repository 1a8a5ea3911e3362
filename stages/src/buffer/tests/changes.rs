//! Changes on their way into the store: in order, bounded, repeated until they are durable.

use std::sync::Arc;
use std::time::Duration;

use engine::store::Change;
use tokio::time::Instant;

use super::super::changes::Changes;
use super::store::Scripted;

fn removals(sequences: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    sequences.map(|sequence| Change::Remove { sequence }).collect()
}

fn pushed(store: &Arc<Scripted>, sequences: std::ops::RangeInclusive<u64>) -> Changes<Scripted> {
    let mut changes = Changes::new(Arc::clone(store));
    removals(sequences).into_iter().for_each(|change| changes.push(change));
    changes
}

#[tokio::test]
async fn what_waits_is_committed_in_order_a_batch_at_a_time() {
    let store = Arc::<Scripted>::default();
    let mut changes = pushed(&store, 1..=5_000);
    assert!(!changes.is_empty());
    changes.committed().await.unwrap();
    assert!(!changes.is_empty(), "the rest waits");
    changes.committed().await.unwrap();
    assert!(changes.is_empty());
    assert_eq!(store.script().commits, [removals(1..=4_096), removals(4_097..=5_000)]);
}

#[test]
fn more_than_four_batches_are_too_much() {
    let store = Arc::<Scripted>::default();
    assert!(!pushed(&store, 1..=16_384).is_behind());
    assert!(pushed(&store, 1..=16_385).is_behind());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_repeated_after_a_pause_that_grows_and_ends_with_the_failures() {
    let store = Arc::<Scripted>::default();
    let mut changes = pushed(&store, 1..=2);
    store.script().failing.insert("commit");
    let began = Instant::now();
    let mut ends = Vec::new();
    for _ in 0..3 {
        changes.committed().await.unwrap_err();
        ends.push(began.elapsed());
    }
    store.script().failing.clear();
    changes.push(Change::Remove { sequence: 3 });
    for sequence in 4..=5 {
        changes.committed().await.unwrap();
        ends.push(began.elapsed());
        changes.push(Change::Remove { sequence });
    }
    assert_eq!(ends, [0, 50, 150, 350, 350].map(Duration::from_millis));
    assert_eq!(store.script().commits, [removals(1..=3), removals(4..=4)]);
}
