//! Memory and restart of a receiver with many webhooks queued.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use conformance::case::{Failed, ensure};

use crate::ingest::{BODY, CONNECTIONS};
use crate::load::{Until, load, signed_post};
use crate::product::{PATH, Receiver, SECRET, resident_megabytes};
use crate::report::Report;

/// How long memory may settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) async fn measure(rounds: usize, webhooks: u64) -> Result<Report, Failed> {
    let mut receiver = Receiver::start().await?;
    let request = signed_post(PATH, BODY, SECRET).map_err(Failed)?;
    let filled = load(receiver.address, request.clone(), CONNECTIONS, Until::Sent(webhooks)).await?;
    ensure(filled.answered == webhooks, || format!("{} of {webhooks} were accepted", filled.answered))?;
    tokio::time::sleep(SETTLE).await;
    let full = resident_megabytes(receiver.id())?;
    let mut all = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let began = Instant::now();
        receiver.restart().await?;
        let one = load(receiver.address, request.clone(), 1, Until::Sent(1)).await?;
        let serving = began.elapsed();
        ensure(one.answered == 1, || "a restarted receiver takes webhooks".to_owned())?;
        let queued = receiver.figure("messages_queued").await?;
        let wanted = webhooks + u64::try_from(round).unwrap_or(0) + 1;
        ensure(queued == wanted, || format!("{wanted} queued after the restart, found {queued}"))?;
        tokio::time::sleep(SETTLE).await;
        all.push(BTreeMap::from([
            ("queued", queued as f64),
            ("filled_megabytes", full),
            ("restarted_megabytes", resident_megabytes(receiver.id())?),
            ("serving_after_ms", serving.as_secs_f64() * 1_000.0),
            ("disk_megabytes", receiver.disk_bytes()? as f64 / 1_000_000.0),
        ]));
    }
    let method = format!(
        "{webhooks} webhooks of {BODY} bytes queued without a connector; then the receiver is killed with SIGKILL and started \
         again, timed from the kill until a webhook is answered 200; memory is VmRSS"
    );
    Ok(Report::new("backlog", method, all))
}
