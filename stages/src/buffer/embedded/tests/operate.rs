//! What operators do with a folder: they see what is wrong, take out what is sound, and mend it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use engine::store::{Change, ParkCause, Store, Tries};
use engine::webhook::{Id, Webhook, from_micros};
use tempfile::{TempDir, tempdir};

use super::super::Embedded;
use super::super::operate::{Finding, Report, Standing, export, repair, verify};
use super::{SMALL, dump, webhook};

const TRIES: Tries = Tries { begun: 2, counted: 1 };

/// A folder with 40 webhooks in several segments: some were delivered, one is deferred and one a dead letter.
async fn folder() -> (TempDir, Vec<Webhook>) {
    let folder = tempdir().unwrap();
    let store = Embedded::open(folder.path(), SMALL).unwrap();
    let (channel, other) = (store.channel("orders"), store.channel("a"));
    let webhooks: Vec<Webhook> = (0..40).map(|n| webhook(100 + n)).collect();
    for one in &webhooks {
        channel.append(vec![one.clone()]).await.unwrap();
    }
    other.append(vec![webhook(5)]).await.unwrap();
    let changes = vec![
        Change::Remove { sequence: 1 },
        Change::Remove { sequence: 30 },
        Change::Defer { sequence: 12, tries: TRIES, until: Some(from_micros(7)) },
        Change::Park {
            sequence: 13,
            cause: ParkCause::DeadLettered,
            reason: "it said no".to_owned(),
            tries: None,
        },
    ];
    channel.commit(changes).await.unwrap();
    (folder, webhooks)
}

/// Webhooks by channel and sequence.
type Exported = BTreeMap<(String, u64), (Webhook, Standing)>;

fn exported(path: &Path) -> (Exported, Report) {
    let mut all = BTreeMap::new();
    let report = export(path, |channel, webhook, standing| {
        let key = (channel.to_owned(), webhook.transit.sequence);
        assert!(all.insert(key, (webhook.clone(), standing.clone())).is_none());
        Ok(())
    });
    (all, report.unwrap())
}

/// Returns the segments' files, in order.
fn segments(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs
}

/// Flips a bit in the middle of a webhook's body.
fn damage(path: &Path, victim: &Webhook) {
    for segment in segments(path) {
        let mut bytes = fs::read(&segment).unwrap();
        let id = victim.id().0;
        if let Some(at) = bytes.windows(id.len()).position(|window| window == id) {
            bytes[at + 100] ^= 1;
            fs::write(segment, bytes).unwrap();
            return;
        }
    }
    panic!("{} is in no segment", victim.id());
}

/// Returns the bytes of every file of the log.
fn state(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    segments(path).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn told(findings: &[Finding]) -> Vec<(&str, Option<u64>, Option<Id>)> {
    findings.iter().map(|one| (one.what, one.sequence, one.id)).collect()
}

#[tokio::test]
async fn a_sound_folder_is_reported_as_it_is() {
    let (folder, webhooks) = folder().await;

    let Report { segments: count, channels, findings, bytes } = verify(folder.path()).unwrap();

    assert_eq!((findings.len(), count), (0, segments(folder.path()).len()));
    assert!(count > 3 && bytes > 40 * 100, "{count} segments, {bytes} bytes");
    let [(first, _), (name, stats)] = &channels[..] else { panic!("{channels:?}") };
    assert_eq!((first.as_str(), name.as_str()), ("a", "orders"));
    assert_eq!((stats.accepted, stats.delivered, stats.live, stats.dead_lettered), (40, 2, 37, 1));
    let (all, _) = exported(folder.path());
    assert_eq!(all.len(), 39);
    let of = |sequence: u64| &all[&("orders".to_owned(), sequence)];
    let (found, standing) = of(12);
    assert_eq!((&found.body, found.id()), (&webhooks[11].body, webhooks[11].id()));
    assert_eq!(*standing, Standing::Deferred { tries: TRIES, until: Some(from_micros(7)) });
    assert_eq!(of(2).1, Standing::Queued);
    assert!(matches!(&of(13).1, Standing::Parked { reason, .. } if reason == "it said no"));
}

#[tokio::test]
async fn looking_changes_nothing_and_finds_the_same_again() {
    let (folder, webhooks) = folder().await;
    damage(folder.path(), &webhooks[19]);
    let before = state(folder.path());

    let first = verify(folder.path()).unwrap().findings;
    let again = exported(folder.path()).1.findings;

    assert_eq!(first, again);
    assert_eq!(state(folder.path()), before);
    assert!(!folder.path().join("quarantine").exists());
    let what = "a damaged webhook was set aside and counts as purged";
    assert_eq!(told(&first)[0], (what, Some(20), Some(webhooks[19].id())));
}

#[tokio::test]
async fn a_repaired_folder_is_sound_and_holds_everything_that_was_readable() {
    let (folder, webhooks) = folder().await;
    damage(folder.path(), &webhooks[19]);
    fs::remove_file(&segments(folder.path())[1]).unwrap();
    let (before, report) = exported(folder.path());
    let was = |what: &str| report.findings.iter().any(|one| one.what == what);
    assert!(was("a segment of the log is missing; what it held is lost"), "{report:?}");

    let repaired = repair(folder.path()).unwrap();

    assert_eq!(told(&repaired.findings), told(&report.findings));
    assert_eq!(told(&verify(folder.path()).unwrap().findings), []);
    let (after, _) = exported(folder.path());
    assert_eq!(after, before);
    assert!(!after.contains_key(&("orders".to_owned(), 20)));
    // A receiver goes on with it: the same webhooks, and the audit balances.
    let store = Embedded::open(folder.path(), SMALL).unwrap();
    let channel = store.channel("orders");
    let held = dump(&channel).await;
    assert_eq!(held.len(), after.keys().filter(|(name, _)| name == "orders").count());
    let sequences = channel.append(vec![webhook(1)]).await.unwrap();
    assert_eq!(sequences, [41]);
}

#[tokio::test]
async fn a_newest_segment_that_is_missing_is_noticed_until_the_folder_is_repaired() {
    let (folder, _) = folder().await;
    fs::remove_file(segments(folder.path()).pop().unwrap()).unwrap();
    let what = "the newest segment of the log is missing; what it held is lost, and not counted";
    assert_eq!(told(&verify(folder.path()).unwrap().findings)[0].0, what);
    repair(folder.path()).unwrap();
    assert_eq!(told(&verify(folder.path()).unwrap().findings), []);
}

#[tokio::test]
async fn a_folder_that_is_no_buffer_is_refused_and_left_as_it_is() {
    let folder = tempdir().unwrap();
    let files = ["pack-123.idx", "reserve", "newest", "notes.log"];
    for name in files {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    for refused in [verify(folder.path()), repair(folder.path()), export(folder.path(), |_, _, _| Ok(()))] {
        let error = refused.expect_err("it is no buffer");
        assert!(error.what.ends_with("it has no segment of a log"), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len());
    for name in files {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
    }
}

#[tokio::test]
async fn a_newest_segment_of_garbage_is_told_as_lost() {
    let (folder, _) = folder().await;
    let newest = segments(folder.path()).pop().unwrap();
    fs::write(&newest, vec![7; 2_000]).unwrap();
    let what = "nothing of the newest segment can be read; what it held is lost, and not counted";
    let findings = verify(folder.path()).unwrap().findings;
    assert!(findings.iter().any(|one| one.what == what), "{findings:?}");
}

#[tokio::test]
async fn a_folder_in_use_or_not_there_is_refused() {
    let (folder, _) = folder().await;
    let store = Embedded::open(folder.path(), SMALL).unwrap();
    for refused in [verify(folder.path()), repair(folder.path())] {
        let error = refused.expect_err("it is in use");
        assert!(error.what.ends_with("is in use by another receiver"), "{error}");
    }
    drop(store);
    let missing = folder.path().join("missing");
    let error = repair(&missing).expect_err("it is not there");
    assert!(error.what.contains("No such file"), "{error}");
    assert!(!missing.exists());
}
