//! A buffer whose files were damaged: it opens, says what is lost, and serves the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::receiver::{Receiver, Setup};
use crate::stand::Stand;

/// How long a webhook may take to a connector that waits for it.
const SOON: Duration = Duration::from_secs(5);

/// How long an orderly end may take.
const STOPPED: Duration = Duration::from_secs(15);

/// Webhooks of each run, and so of each segment: a receiver begins a new one when it starts.
const EACH: usize = 30;

pub(super) const CASES: &[Case] = &[Case {
    id: "DUR-04",
    title: "a flipped bit, a missing segment and a torn tail: it opens, says what is lost, and serves the rest; repair mends it",
    proves: "G14",
    needs_durability: true,
    needs: Need::Restart,
    varies: Varies::No,
    run: |stand| Box::pin(damaged(stand)),
}];

async fn damaged(stand: Stand) -> Result<(), Failed> {
    let mut receiver = stand.receiver(Setup::default()).await?;
    let mut runs = Vec::new();
    for run in 0..3 {
        if run > 0 {
            receiver.restart().await?;
        }
        runs.push(post(&receiver, run).await?);
        receiver.process()?.terminate().await?;
        receiver.process()?.ended(STOPPED).await?;
    }
    let data = stand.folder().join("data");
    let sound = buffer(&stand, &["verify"], &data).await?;
    ensure(sound.status.success(), || format!("a sound buffer, found {}", text(&sound.stdout)))?;
    let (flipped, torn) = (runs[0][EACH / 2].clone(), runs[2][EACH - 1].clone());
    damage(&data, &flipped, &torn)?;
    let copy = stand.folder().join("copy");
    copy_folder(&data, &copy)?;
    let mut lost = runs[1].clone();
    lost.extend([flipped.clone(), torn]);
    let rest = |id: &&String| !lost.contains(id);
    let served: Vec<String> = runs.iter().flatten().filter(rest).cloned().collect();

    told_and_exported(&stand, &data, &flipped, &served).await?;
    receiver.restart().await?;
    let log = receiver.process()?.log()?;
    ensure(log.contains(&flipped), || format!("the id of the damaged webhook in the log:\n{log}"))?;
    ensure(log.contains("a segment of the log is missing"), || {
        format!("the missing segment in the log:\n{log}")
    })?;
    ensure_eq("what is served", &drain(&receiver, served.len()).await?, &served)?;
    let purged = |stats: &crate::party::receiver::Stats| stats.count("messages_purged");
    let stats = receiver.settles("all is settled", SOON, |stats| stats.count("messages_queued") == 0).await?;
    ensure(purged(&stats) > EACH as i64, || {
        format!("purged: {EACH} and the damaged one, found {}", purged(&stats))
    })?;
    receiver.kill().await?;

    let repaired = buffer(&stand, &["repair"], &copy).await?;
    ensure(repaired.status.success(), || format!("a repair, found {}", text(&repaired.stderr)))?;
    let sound = buffer(&stand, &["verify"], &copy).await?;
    ensure(sound.status.success(), || {
        format!("a sound buffer after the repair, found {}", text(&sound.stdout))
    })?;
    let on_copy = stand.another()?;
    let setup = Setup { data: Some(copy), ..Setup::default() };
    let receiver = on_copy.receiver(setup).await?;
    ensure_eq("what is served after the repair", &drain(&receiver, served.len()).await?, &served)?;
    stand.note(format!("{} of {} served, each of the others named or counted", served.len(), 3 * EACH));
    Ok(())
}

/// Posts webhooks and returns their ids.
async fn post(receiver: &Receiver, run: usize) -> Result<Vec<String>, Failed> {
    let mut ids = Vec::with_capacity(EACH);
    for nth in 0..EACH {
        let name = format!("{run}-{nth}");
        ids.push(receiver.accepted(&name, format!("{{\"name\":\"{name}\"}}")).await?);
    }
    Ok(ids)
}

/// Flips a bit of one webhook in the first segment, removes the second, and cuts another webhook in the third.
fn damage(data: &Path, flipped: &str, torn: &str) -> Result<(), Failed> {
    let files =
        fs::read_dir(data)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>, Failed>>()?;
    let mut logs: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    let [first, second, third] = &logs[..] else {
        return Err(Failed(format!("three segments, found {logs:?}")));
    };
    let (mut bytes, at) = find(first, flipped)?;
    bytes[at + 60] ^= 1;
    fs::write(first, bytes)?;
    fs::remove_file(second)?;
    let (mut bytes, at) = find(third, torn)?;
    bytes.truncate(at + 60);
    Ok(fs::write(third, bytes)?)
}

/// Returns a segment's bytes and where the id of a webhook stands in them.
fn find(segment: &Path, id: &str) -> Result<(Vec<u8>, usize), Failed> {
    let (bytes, id) = (fs::read(segment)?, hex::decode(id.trim_start_matches("msg_"))?);
    let at = bytes.windows(id.len()).position(|window| window == id);
    at.map(|at| (bytes, at)).ok_or_else(|| Failed("the webhook is not in its segment".to_owned()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// `verify` names what is wrong, and `export` takes out what is sound; neither changes anything.
async fn told_and_exported(
    stand: &Stand,
    data: &Path,
    flipped: &str,
    served: &[String],
) -> Result<(), Failed> {
    let told = buffer(stand, &["verify", "--format", "json"], data).await?;
    ensure_eq("the exit code for a damaged buffer", &told.status.code(), &Some(1))?;
    let report: Value = serde_json::from_str(&text(&told.stdout))?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let named = findings.iter().any(|one| one["id"] == flipped);
    ensure(named, || format!("the damaged webhook by its id, found {findings:?}"))?;
    let exported = buffer(stand, &["export"], data).await?;
    let lines: BTreeMap<String, Value> = text(&exported.stdout)
        .lines()
        .map(|line| {
            let webhook: Value = serde_json::from_str(line)?;
            Ok((webhook["id"].as_str().unwrap_or_default().to_owned(), webhook))
        })
        .collect::<Result<_, Failed>>()?;
    let mut wanted = served.to_vec();
    wanted.sort();
    ensure_eq("what is exported", &lines.into_keys().collect::<Vec<_>>(), &wanted)
}

/// Takes and settles `count` webhooks, makes sure that no more come, and returns their ids.
async fn drain(receiver: &Receiver, count: usize) -> Result<Vec<String>, Failed> {
    let mut link = receiver.link(100).await?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let delivery = link.next(SOON).await?;
        ids.push(delivery.webhook.id().to_string());
        link.deliver(&delivery).await?;
    }
    Ok(ids)
}

async fn buffer(stand: &Stand, what: &[&str], data: &Path) -> Result<Output, Failed> {
    let mut command = tokio::process::Command::new(stand.binary()?);
    command.arg("buffer").args(what).arg(format!("embedded:{}", data.display()));
    Ok(command.stdin(Stdio::null()).output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
