//! The store in a folder of the file system.

use std::path::Path;

use engine::kind::OpenError;
use engine::store::{Change, Store};
use engine::webhook::Webhook;
use tempfile::tempdir;

use super::super::{Channel, Embedded, Options};
use super::{ALL, SMALL, webhook};

fn open(path: &Path) -> Embedded {
    Embedded::open(path, SMALL).unwrap()
}

fn refused(path: &Path) -> OpenError {
    Embedded::open(path, SMALL).expect_err("it cannot be opened")
}

async fn append(channel: &Channel, size: usize) -> (u64, Webhook) {
    let webhook = webhook(size);
    let sequences = channel.append(vec![webhook.clone()]).await.unwrap();
    (sequences[0], webhook)
}

async fn queued(channel: &Channel) -> Vec<(u64, Webhook)> {
    let read = channel.read(0, ALL).await.unwrap();
    read.into_iter().map(|one| (one.sequence, one.webhook)).collect()
}

#[tokio::test]
async fn a_folder_in_use_is_refused_until_the_other_store_is_gone() {
    let folder = tempdir().unwrap();
    let store = open(folder.path());

    let OpenError { what, help } = refused(folder.path());

    let path = folder.path().canonicalize().unwrap();
    assert_eq!(what, format!("the buffer's folder {} is in use by another receiver", path.display()));
    assert_eq!(help.as_deref(), Some("stop that one, or give this one a folder of its own"));
    drop(store);
    open(folder.path());
}

#[tokio::test]
async fn a_channel_that_is_still_in_use_keeps_the_folder() {
    let folder = tempdir().unwrap();
    let channel = open(folder.path()).channel("a");

    refused(folder.path());
    append(&channel, 10).await;

    drop(channel);
    open(folder.path());
}

#[tokio::test]
async fn what_was_appended_is_there_after_another_opening_in_order_channel_by_channel() {
    let folder = tempdir().unwrap();
    let store = open(folder.path());
    let channels = [store.channel("a"), store.channel("b")];
    let mut appended = [Vec::new(), Vec::new()];
    // Enough for several segments, and one larger than any.
    for size in (0..30).chain([5_000]) {
        for (channel, appended) in channels.iter().zip(&mut appended) {
            appended.push(append(channel, size).await);
        }
    }
    drop((store, channels));

    let store = open(folder.path());

    for (name, appended) in ["a", "b"].into_iter().zip(appended) {
        assert_eq!(queued(&store.channel(name)).await, appended, "{name}");
        assert!(appended.iter().map(|(sequence, _)| *sequence).eq(1..=31), "{name}");
        assert_eq!(append(&store.channel(name), 10).await.0, 32, "{name}");
    }
    assert_eq!(queued(&store.channel("c")).await, vec![]);
}

#[tokio::test]
async fn the_files_of_removed_webhooks_are_gone() {
    let folder = tempdir().unwrap();
    let store = open(folder.path());
    let channel = store.channel("a");
    for _ in 0..100 {
        let (sequence, _) = append(&channel, 500).await;
        channel.commit(vec![Change::Remove { sequence }]).await.unwrap();
    }
    drop((store, channel));

    let mut names: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();

    names.retain(|name| name != "lock" && name != "reserve");
    assert!(names.len() <= 6, "{names:?}");
}

#[tokio::test]
async fn a_default_store_takes_a_webhook_from_one_opening_to_the_next() {
    let folder = tempdir().unwrap();
    let default = |path: &Path| Embedded::open(path, Options::default()).unwrap().channel("a");
    let appended = append(&default(folder.path()), 10 << 20).await;

    assert!(queued(&default(folder.path())).await == [appended], "other bytes");
}

#[test]
fn a_folder_that_is_missing_is_made() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("of/its/own");

    drop(open(&path));

    assert!(path.join("lock").is_file());
}

#[test]
fn a_file_in_the_way_of_the_folder_is_an_error_that_says_what_to_do() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "").unwrap();

    for path in [path.clone(), path.join("below")] {
        let OpenError { what, help } = refused(&path);

        assert!(
            what.starts_with(&format!("the buffer's folder {} cannot be used: ", path.display())),
            "{what}"
        );
        assert_eq!(help.as_deref(), Some("create it, or choose another folder for the buffer"));
    }
}
