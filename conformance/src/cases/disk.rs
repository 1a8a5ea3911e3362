//! A disk that is full or read-only: 503, and nothing that was answered 2xx is missing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::process::Command;

use crate::case::{Case, Failed, Need, ensure};
use crate::party::connector::{Link, header};
use crate::party::receiver::{Receiver, Setup};
use crate::party::sender::{self, DELIVERY};
use crate::party::wait::until;
use crate::stand::Stand;

/// The size of the disk: far less than a segment of the log.
const SIZE: &str = "8m";

/// The size of each webhook, in bytes.
const BODY: usize = 256 * 1024;

/// How long the receiver may take to notice that there is room again.
const NOTICE: Duration = Duration::from_secs(10);

/// What puts a process into a mount namespace of its own, as its root, whoever the user is.
const APART: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];

pub(super) const CASES: &[Case] = &[Case {
    id: "DUR-01",
    title: "a full and a read-only disk answer 503, lose nothing, and work again without a restart",
    proves: "G1",
    needs_durability: true,
    needs: Need::Settings("a buffer on a disk that fails"),
    varies: crate::case::Varies::No,
    run: |stand| Box::pin(failing_disk(stand)),
}];

/// A small disk in memory that only the receiver sees, and that goes away with it.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Prepares it; none where mounting is not allowed.
    async fn prepare(folder: PathBuf) -> Result<Option<Self>, Failed> {
        std::fs::create_dir_all(&folder)?;
        let disk = Self { folder };
        let [program, arguments @ ..] = APART;
        let trial = Command::new(program).args(arguments).args(["sh", "-c", &disk.mounting()]).output().await;
        Ok(trial.is_ok_and(|output| output.status.success()).then_some(disk))
    }

    fn mounting(&self) -> String {
        format!("mount -t tmpfs -o size={SIZE} tmpfs '{}'", self.folder.display())
    }

    /// Returns the command line that starts a receiver on it.
    fn wrapper(&self) -> Vec<String> {
        let script = format!("{} && exec \"$@\"", self.mounting());
        APART.into_iter().chain(["sh", "-c", &script, "sh"]).map(str::to_owned).collect()
    }

    /// Puts a read-only view of the disk over it, or takes it away. A file system with files open for writing cannot be
    /// remounted, so what the receiver has open stays writable; whatever it opens from now on is read-only.
    async fn set_read_only(&self, receiver: &mut Receiver, read_only: bool) -> Result<(), Failed> {
        let id = receiver
            .process()?
            .id()
            .ok_or_else(|| Failed("the receiver does not run any more".to_owned()))?;
        let folder = self.folder.display();
        let script = if read_only {
            format!("mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'")
        } else {
            format!("umount '{folder}'")
        };
        let target = id.to_string();
        let inside =
            ["--target", &target, "--user", "--preserve-credentials", "--mount", "sh", "-c", &script];
        let output = Command::new("nsenter").args(inside).output().await?;
        ensure(output.status.success(), || {
            format!("the disk can be changed: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

async fn failing_disk(stand: Stand) -> Result<(), Failed> {
    let Some(disk) = Disk::prepare(stand.folder().join("disk")).await? else {
        stand.leave_out("mounting a small disk is not allowed here");
        return Ok(());
    };
    let setup = Setup {
        data: Some(disk.folder.join("data")),
        wrapper: disk.wrapper(),
        ..Setup::limits(json!({ "max_queue_bytes": 1 << 30 }))
    };
    let mut receiver = stand.receiver(setup).await?;
    let proved = prove(&stand, &disk, &mut receiver).await;
    proved.map_err(|Failed(why)| {
        let log = receiver.process().and_then(|process| process.log()).unwrap_or_default();
        Failed(format!("{why}\n{log}"))
    })
}

async fn prove(stand: &Stand, disk: &Disk, receiver: &mut Receiver) -> Result<(), Failed> {
    let (mut accepted, mut seen) = (BTreeSet::new(), BTreeSet::new());
    fill(receiver, "full", &mut accepted).await?;
    stand.note(format!("full: {} answered 200, then 503", accepted.len()));
    let mut link = receiver.link(100).await?;
    // Delivering gives the space back, without a restart.
    take_all(&mut link, &mut seen).await?;
    answers_again(receiver, "room", &mut accepted).await?;
    take_all(&mut link, &mut seen).await?;
    disk.set_read_only(receiver, true).await?;
    until_read_only(receiver, &mut link, &mut accepted, &mut seen).await?;
    disk.set_read_only(receiver, false).await?;
    answers_again(receiver, "writable", &mut accepted).await?;
    take_all(&mut link, &mut seen).await?;
    let lost: Vec<_> = accepted.difference(&seen).collect();
    ensure(lost.is_empty(), || format!("answered 2xx and lost: {lost:?}"))?;
    let empty = |stats: &crate::party::receiver::Stats| {
        stats.count("messages_queued") + stats.count("messages_in_flight") == 0
    };
    receiver.settles("nothing is left", NOTICE, empty).await?;
    Ok(())
}

/// Acknowledges everything until nothing comes any more.
async fn take_all(link: &mut Link, seen: &mut BTreeSet<String>) -> Result<(), Failed> {
    while let Some(delivery) = link.maybe(Duration::from_millis(200)).await? {
        seen.insert(header(&delivery.webhook, DELIVERY));
        link.deliver(&delivery).await?;
    }
    Ok(())
}

/// Posts until the answer is 503.
async fn fill(receiver: &Receiver, name: &str, accepted: &mut BTreeSet<String>) -> Result<(), Failed> {
    for nth in 0..200 {
        let delivery = format!("{name}-{nth}");
        let answer = receiver.send(&delivery, vec![b'x'; BODY]).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(());
        }
        ensure(answer.status == StatusCode::OK, || format!("200 or 503, found {}", answer.status))?;
        accepted.insert(delivery);
    }
    Err(Failed("503 on a full disk".to_owned()))
}

/// Posts and acknowledges until the log needs another file and cannot have it, which is answered 503.
async fn until_read_only(
    receiver: &mut Receiver,
    link: &mut Link,
    accepted: &mut BTreeSet<String>,
    seen: &mut BTreeSet<String>,
) -> Result<(), Failed> {
    for nth in 0..200 {
        let delivery = format!("read-only-{nth}");
        let answer = receiver.send(&delivery, vec![b'x'; BODY]).await?;
        if answer.status == StatusCode::OK {
            accepted.insert(delivery);
            take_all(link, seen).await?;
        } else if receiver.process()?.log()?.contains("Read-only file system") {
            return ensure(answer.status == StatusCode::SERVICE_UNAVAILABLE, || {
                format!("503 on a read-only disk, found {}", answer.status)
            });
        }
    }
    Err(Failed("503 on a read-only disk".to_owned()))
}

/// Posts until the answer is 200 again.
async fn answers_again(
    receiver: &Receiver,
    name: &str,
    accepted: &mut BTreeSet<String>,
) -> Result<(), Failed> {
    let address = receiver.address();
    let mut nth = 0;
    let delivery = until("2xx again", NOTICE, || {
        nth += 1;
        let delivery = format!("{name}-{nth}");
        async move {
            let answer = sender::send(address, &delivery, vec![b'x'; BODY]).await?;
            Ok((answer.status == StatusCode::OK).then_some(delivery))
        }
    })
    .await?;
    accepted.insert(delivery);
    Ok(())
}
