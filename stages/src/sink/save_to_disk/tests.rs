//! Saving, on a real disk.

use std::fs;
use std::os::unix::fs::symlink;

use engine::ack::Cause;
use engine::kind::Kind;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::testing::{context, faults, parse, webhook};

const BODY: &[u8] = b"{\"b\": 1,\r\n\x00\xff}";

async fn saver(folder: &TempDir, mut settings: Value) -> Result<Saver, OpenError> {
    settings["base_dir"] = json!(folder.path());
    let settings: SaveToDisk = parse(settings);
    settings.open(&context().0).await
}

/// Every file below a folder, by its name, in order.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else {
                found.push(entry.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_body_is_saved_byte_for_byte_with_what_is_known_beside_it() {
    let folder = TempDir::new().unwrap();
    let saver = saver(&folder, json!({ "path": "in/here" })).await.unwrap();
    let webhook = webhook(&[("X-Tag", b"one"), ("Authorization", b"Bearer planted")], BODY);
    saver.deliver(std::slice::from_ref(&webhook)).await.unwrap();
    let id = webhook.id();
    assert_eq!(files(folder.path()), [format!("in/here/{id}.bin"), format!("in/here/{id}.meta.json")]);
    assert_eq!(fs::read(folder.path().join(format!("in/here/{id}.bin"))).unwrap(), BODY);
    let known = fs::read_to_string(folder.path().join(format!("in/here/{id}.meta.json"))).unwrap();
    let known: Value = serde_json::from_str(&known).unwrap();
    assert_eq!((&known["id"], &known["size"]), (&json!(id.to_string()), &json!(BODY.len())));
    assert_eq!(known["headers"], json!([["X-Tag", "one"]]));
}

#[tokio::test]
async fn a_webhook_that_comes_again_overwrites_its_own_files() {
    let folder = TempDir::new().unwrap();
    let saver = saver(&folder, json!({ "filename_pattern": "{date}/{webhook}" })).await.unwrap();
    let mut webhook = webhook(&[], BODY);
    saver.deliver(std::slice::from_ref(&webhook)).await.unwrap();
    let once = files(folder.path());
    webhook.transit.attempt = 2;
    saver.deliver(&[webhook]).await.unwrap();
    assert_eq!((once.len(), files(folder.path())), (2, once.clone()));
}

#[tokio::test]
async fn lines_are_appended_with_the_body_in_base64() {
    let folder = TempDir::new().unwrap();
    let settings = json!({ "format": "jsonl", "filename_pattern": "all" });
    let saver = saver(&folder, settings).await.unwrap();
    let webhooks = [webhook(&[], BODY), webhook(&[], b"")];
    fs::write(folder.path().join("all.jsonl"), "{\"torn\":").unwrap();
    saver.deliver(&webhooks).await.unwrap();
    let text = fs::read_to_string(folder.path().join("all.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines.iter().map(|line| (&line["id"], &line["body_base64"])).collect();
    let ids = webhooks.map(|webhook| json!(webhook.id().to_string()));
    assert_eq!(found, [(&ids[0], &json!("eyJiIjogMSwNCgD/fQ==")), (&ids[1], &json!(""))]);
}

#[tokio::test]
async fn a_folder_that_goes_away_is_unreachable_and_leaves_no_half_file() {
    let folder = TempDir::new().unwrap();
    let saver = saver(&folder, json!({ "path": "in", "create_dirs": true })).await.unwrap();
    fs::remove_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in"), "in the way").unwrap();
    let failure = saver.deliver(&[webhook(&[], BODY)]).await.unwrap_err();
    assert!(matches!(failure, Failure::Transient { cause: Cause::Unreachable, .. }), "{failure:?}");
    assert_eq!(files(folder.path()), ["in"]);
}

#[tokio::test]
async fn a_path_or_a_link_that_leads_out_is_refused() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert!(saver(&folder, json!({ "path": outside.path() })).await.is_err());
    symlink(outside.path(), folder.path().join("orders")).unwrap();
    assert!(saver(&folder, json!({ "path": "orders" })).await.is_err());
    let saver = saver(&folder, json!({ "filename_pattern": "{webhook}/{id}" })).await.unwrap();
    assert!(saver.deliver(&[webhook(&[], BODY)]).await.is_err());
    assert_eq!(files(outside.path()), Vec::<String>::new());
}

#[test]
fn settings_are_those_of_the_reference_and_more() {
    let kind = Kind::destination::<SaveToDisk>();
    let known = json!({
        "path": "in", "base_dir": "/tmp", "filename_template": "{webhook_id}", "include_headers": false,
        "file_extension": ".txt", "format": "json", "create_dirs": false
    });
    assert_eq!(faults(&known, kind), Vec::<String>::new());
    assert_eq!(faults(&json!({ "path": "../out" }), kind), ["/path: the path must not have `..`"]);
    assert_eq!(faults(&json!({ "file_extension": "a/b" }), kind).len(), 1);
}
