//! Memory of both ends that do nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::case::Failed;

use crate::product::{Receiver, resident_megabytes};
use crate::report::Report;

pub(crate) async fn measure(rounds: usize, seconds: u64) -> Result<Report, Failed> {
    let mut pairs = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let receiver = Receiver::start().await?;
        let connector = receiver.connector("auto")?;
        receiver.reaches("connected_clients", 1, Duration::from_secs(20)).await?;
        pairs.push((receiver, connector));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut all = Vec::with_capacity(rounds);
    for (receiver, connector) in &pairs {
        all.push(BTreeMap::from([
            ("receiver_megabytes", resident_megabytes(receiver.id())?),
            ("connector_megabytes", resident_megabytes(connector.id())?),
        ]));
    }
    let method = format!(
        "VmRSS of a receiver and its connected connector after {seconds} s without a webhook; the rounds run at once"
    );
    Ok(Report::new("idle", method, all))
}
