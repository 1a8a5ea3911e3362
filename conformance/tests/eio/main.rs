//! A buffer whose files cannot be written any more (EIO): 503 while it lasts, nothing answered 2xx is missing, and 2xx again
//! without a restart. A library loaded before all others fails the calls; it is compiled here.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::connector::header;
use conformance::party::http as client;
use conformance::party::receiver::{Receiver, Setup, Stats};
use conformance::party::sender::{DELIVERY, Load};
use conformance::party::wait::until;
use conformance::stand::{Buffer, Stand, built_binary};
use serde_json::json;

/// How long the receiver may take to notice that the disk works again.
const NOTICE: Duration = Duration::from_secs(10);

/// How often the disk fails.
const EPISODES: usize = 3;

/// A disk that fails at command.
struct Disk {
    library: PathBuf,
    trigger: PathBuf,
    folder: PathBuf,
}

impl Disk {
    /// Compiles what makes the disk of the receiver of `stand` fail.
    fn prepare(stand: &Stand) -> Result<Self, Failed> {
        let folder = stand.folder().canonicalize()?;
        let library = folder.join("eio.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/eio/eio.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-ldl", "-o"])
            .arg(&library)
            .output()?;
        ensure(compiled.status.success(), || String::from_utf8_lossy(&compiled.stderr).into_owned())?;
        Ok(Self { library, trigger: folder.join("fail"), folder: folder.join("data") })
    }

    fn setup(&self) -> Setup {
        let set = |name: &str, value: &PathBuf| format!("{name}={}", value.display());
        let wrapper = vec![
            "env".to_owned(),
            set("LD_PRELOAD", &self.library),
            set("EIO_TRIGGER", &self.trigger),
            set("EIO_FOLDER", &self.folder),
        ];
        let limits = json!({ "max_queue_size": 1_000_000, "max_in_flight": 200, "max_deliveries": 1000 });
        Setup { wrapper, data: Some(self.folder.clone()), ..Setup::limits(limits) }
    }

    fn fails(&self, fails: bool) -> Result<(), Failed> {
        if fails {
            std::fs::write(&self.trigger, "")?;
        } else {
            std::fs::remove_file(&self.trigger)?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_disk_that_fails_loses_nothing_that_was_answered_2xx() -> Result<(), Failed> {
    let stand = Stand::new(built_binary()?, Buffer::Embedded)?;
    let disk = Disk::prepare(&stand)?;
    let mut receiver = stand.receiver(disk.setup()).await?;
    let id = receiver.process()?.id();
    let load = Load::start(receiver.address(), 4, 200);
    let mut seen = BTreeSet::new();
    for episode in 0..EPISODES {
        work(&receiver, &load, &mut seen).await?;
        disk.fails(true)?;
        refuses(&receiver, &format!("failing-{episode}")).await?;
        disk.fails(false)?;
        let before = load.count();
        until("2xx again", NOTICE, || async { Ok((load.count() > before).then_some(())) }).await?;
    }
    ensure_eq("the process", &receiver.process()?.id(), &id)?;
    // At last it is killed while the disk fails.
    work(&receiver, &load, &mut seen).await?;
    disk.fails(true)?;
    refuses(&receiver, "killed").await?;
    receiver.kill().await?;
    disk.fails(false)?;
    receiver.restart().await?;
    let accepted = load.end().await;
    drain(&receiver, &mut seen).await?;
    let lost: Vec<_> = accepted.difference(&seen).collect();
    println!("{} answered 2xx, {} lost, {EPISODES} times EIO and a kill", accepted.len(), lost.len());
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    let log = receiver.process()?.log()?;
    ensure(log.contains("Input/output error"), || "the log names the error".to_owned())?;
    ensure(!log.contains("panicked"), || format!("no panic, found: {log}"))
}

/// Has some accepted and some delivered, so that settlements meet the failure too.
async fn work(receiver: &Receiver, load: &Load, seen: &mut BTreeSet<String>) -> Result<(), Failed> {
    let (before, mut link) = (load.count(), receiver.link(50).await?);
    while load.count() < before + 50 {
        if let Some(delivery) = link.maybe(Duration::from_millis(20)).await? {
            seen.insert(header(&delivery.webhook, DELIVERY));
            link.deliver(&delivery).await?;
        }
    }
    Ok(())
}

/// Posts until the answer is 503; then every answer is, health says it, and it is counted.
async fn refuses(receiver: &Receiver, name: &str) -> Result<(), Failed> {
    until("503", NOTICE, || async {
        Ok((receiver.send(&format!("{name}-first"), "1").await?.status == 503).then_some(()))
    })
    .await?;
    for nth in 0..20 {
        let answer = receiver.send(&format!("{name}-{nth}"), "1").await?;
        ensure_eq("the answer while the disk fails", &answer.status.as_u16(), &503)?;
        ensure(answer.headers.contains_key("retry-after"), || "Retry-After with a 503".to_owned())?;
    }
    let health = client::get(receiver.address(), "/health", "").await?;
    ensure_eq("the health while the disk fails", &health.status.as_u16(), &503)?;
    let metrics = client::get(receiver.address(), "/metrics", "").await?;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let counted = text
        .lines()
        .any(|line| line.starts_with("webhook_connect_store_errors_total{") && !line.ends_with(" 0"));
    ensure(counted, || format!("store_errors counted, found {text}"))
}

async fn drain(receiver: &Receiver, seen: &mut BTreeSet<String>) -> Result<(), Failed> {
    let mut link = receiver.link(200).await?;
    while let Some(delivery) = link.maybe(Duration::from_secs(1)).await? {
        seen.insert(header(&delivery.webhook, DELIVERY));
        link.deliver(&delivery).await?;
    }
    let empty = |stats: &Stats| stats.count("messages_queued") + stats.count("messages_in_flight") == 0;
    receiver.settles("nothing is left", NOTICE, empty).await?;
    Ok(())
}
