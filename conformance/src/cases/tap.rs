//! The real connector as a tap.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::case::{Failed, ensure, ensure_eq};
use crate::party::destination::{Destination, Manners};
use crate::party::http as client;
use crate::party::process::Process;
use crate::party::receiver::{CHANNEL, Receiver, TOKEN};
use crate::party::wait::until;
use crate::stand::Stand;

/// How long a webhook may take to a tap.
const SOON: Duration = Duration::from_secs(30);

/// How long the slow tap's destination takes while it is slow.
const SLOW: Duration = Duration::from_secs(3);

/// Two connectors that only watch: one by a flag, and one by its file, whose destination can be slow.
pub(super) struct Taps {
    by_flag: Process,
    by_file: Process,
    status: SocketAddr,
    destinations: [Destination; 2],
}

impl Taps {
    /// Starts both and waits until they watch.
    pub(super) async fn start(stand: &Stand, receiver: &Receiver) -> Result<Self, Failed> {
        let destinations = [Destination::start().await?, Destination::start().await?];
        let (url, protocol) = (format!("http://{}", receiver.address()), stand.transport().name());
        let seen = destinations[0].url();
        let arguments = [
            "--tap",
            "--channel",
            CHANNEL,
            "--destination",
            &seen,
            "--cloud-url",
            &url,
            "--token",
            TOKEN,
            "--protocol",
            protocol,
        ];
        let log = stand.folder().join("tap-by-flag.log");
        let mut by_flag = Process::start(stand.binary()?, &arguments.map(OsStr::new), &log)?;
        let config = json!({
            "cloud": { "url": url, "token": TOKEN },
            "routes": { CHANNEL: {
                "tap": true, "module": "http_webhook", "module-config": { "url": destinations[1].url() },
            }},
            "protocol": protocol,
            "max_in_flight": 1,
        });
        let (path, log) = (stand.folder().join("tap.json"), stand.folder().join("tap-by-file.log"));
        std::fs::write(&path, config.to_string())?;
        let arguments = ["--config".as_ref(), path.as_os_str(), "--status".as_ref(), "127.0.0.1:0".as_ref()];
        let mut by_file = Process::start(stand.binary()?, &arguments, &log)?;
        let find = |text: &str| {
            let line = text.lines().find(|line| line.contains("serving the status"))?;
            line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
        };
        let status = by_file.says("the tap shows its status", 0, SOON, find).await?;
        for tap in [&mut by_flag, &mut by_file] {
            let told = |text: &str| {
                text.contains("it sees every webhook from now on and settles none").then_some(())
            };
            tap.says("a tap says what it is", 0, SOON, told).await?;
        }
        Ok(Self { by_flag, by_file, status, destinations })
    }

    /// Waits until both have seen `count` webhooks.
    pub(super) async fn see(&self, count: usize) -> Result<(), Failed> {
        for destination in &self.destinations {
            let what = format!("a tap sees {count} webhooks");
            until(&what, SOON, || async { Ok((destination.count() >= count).then_some(())) }).await?;
            ensure_eq("webhooks that a tap saw", &destination.count(), &count)?;
        }
        Ok(())
    }

    /// Makes one destination slow, or quick again.
    pub(super) fn slow(&self, slow: bool) {
        let delay = if slow { SLOW } else { Duration::ZERO };
        self.destinations[1].behave(Manners { delay, ..Manners::default() });
    }

    /// Waits until each has seen `count` webhooks, or was told that it missed some; the slow one must have missed some.
    pub(super) async fn saw_or_missed(mut self, count: usize, stand: &Stand) -> Result<(), Failed> {
        let mut missed = 0;
        for (tap, destination) in [&mut self.by_flag, &mut self.by_file].into_iter().zip(&self.destinations) {
            let what = "a tap has seen all, or was told what it missed";
            missed = until(what, SOON * 2, || async {
                let missed = missed_by(&tap.log()?);
                Ok((destination.count() + missed >= count).then_some(missed))
            })
            .await
            .map_err(|Failed(why)| {
                Failed(format!("{why}: {} seen\n{}", destination.count(), tap.log().unwrap_or_default()))
            })?;
            ensure_eq("what a tap saw and missed", &(destination.count() + missed), &count)?;
        }
        stand.note(format!("the real slow tap was told that it missed {missed}"));
        let shown = client::get(self.status, "/status", "").await?.json()?["channels"][CHANNEL].clone();
        ensure(missed > 0 && shown["missed"] == missed && shown["tap"] == true, || {
            format!("a slow tap that missed {missed}, found {shown}")
        })?;
        for tap in [&mut self.by_flag, &mut self.by_file] {
            tap.terminate().await?;
            ensure(tap.ended(SOON).await?.success(), || "a tap ends well".to_owned())?;
        }
        Ok(())
    }
}

/// Returns how many webhooks a tap says that it missed.
fn missed_by(log: &str) -> usize {
    let told = log.lines().filter(|line| line.contains("this tap was too slow"));
    let counts = told
        .filter_map(|line| line.split_once("missed=")?.1.split_whitespace().next()?.parse::<usize>().ok());
    counts.sum()
}
