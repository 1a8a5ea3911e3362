//! Durable ingest against a bare HTTP server: what verifying and storing costs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use conformance::case::{Failed, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::load::{Load, Until, load, signed_post};
use crate::product::{PATH, Receiver, SECRET};
use crate::report::Report;

/// Connections that post.
pub(crate) const CONNECTIONS: u64 = 64;

/// The size of a body, in bytes.
pub(crate) const BODY: usize = 1_024;

/// How long is posted before the first round.
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) async fn measure(rounds: usize, seconds: u64) -> Result<Report, Failed> {
    let receiver = Receiver::start().await?;
    let (_baseline, bare) = start_baseline().await?;
    post(bare, WARM_UP).await?;
    post(receiver.address, WARM_UP).await?;
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let base = post(bare, Duration::from_secs(seconds)).await?;
        let ours = post(receiver.address, Duration::from_secs(seconds)).await?;
        all.push(BTreeMap::from([
            ("baseline_per_second", base.per_second()),
            ("baseline_p50_ms", base.percentile(0.5)),
            ("baseline_p99_ms", base.percentile(0.99)),
            ("ingest_per_second", ours.per_second()),
            ("ingest_p50_ms", ours.percentile(0.5)),
            ("ingest_p99_ms", ours.percentile(0.99)),
            ("ratio", ours.per_second() / base.per_second()),
        ]));
    }
    let method = format!(
        "{CONNECTIONS} keep-alive connections of one load generator on the same machine post {BODY}-byte HMAC-signed \
         bodies for {seconds} s to a bare hyper server that answers 200, then to a receiver with the embedded buffer, in turns"
    );
    Ok(Report::new("ingest", method, all))
}

/// Posts for a while; every request must be answered 200.
pub(crate) async fn post(address: SocketAddr, time: Duration) -> Result<Load, Failed> {
    let request = signed_post(PATH, BODY, SECRET).map_err(Failed)?;
    let load = load(address, request, CONNECTIONS, Until::Elapsed(time)).await?;
    ensure(load.refused == 0, || format!("{} requests were not answered 200", load.refused))?;
    Ok(load)
}

async fn start_baseline() -> Result<(Child, SocketAddr), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("baseline").stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or_else(|| Failed("the baseline has no output".to_owned()))?;
    let line = BufReader::new(output).lines().next_line().await?;
    let address = line.unwrap_or_default().parse::<SocketAddr>()?;
    Ok((child, address))
}
