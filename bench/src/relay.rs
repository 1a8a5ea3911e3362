//! From sender to destination, against ingest alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use conformance::case::Failed;

use crate::ingest::{BODY, CONNECTIONS, post};
use crate::product::Receiver;
use crate::report::Report;

/// How long the last webhook may take to arrive.
const MOST: Duration = Duration::from_secs(120);

pub(crate) async fn measure(rounds: usize, seconds: u64) -> Result<Report, Failed> {
    let time = Duration::from_secs(seconds);
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let alone = Receiver::start().await?;
        let ingest = post(alone.address, time).await?;
        drop(alone);
        let receiver = Receiver::start().await?;
        let _connector = receiver.connector()?;
        receiver.reaches("connected_clients", 1, MOST).await?;
        let began = Instant::now();
        let relayed = post(receiver.address, time).await?;
        receiver.reaches("messages_delivered", relayed.answered, MOST).await?;
        let per_second = relayed.answered as f64 / began.elapsed().as_secs_f64();
        all.push(BTreeMap::from([
            ("ingest_per_second", ingest.per_second()),
            ("relay_per_second", per_second),
            ("accepted_while_relaying_per_second", relayed.per_second()),
            ("ratio", per_second / ingest.per_second()),
        ]));
    }
    let method = format!(
        "{CONNECTIONS} connections post {BODY}-byte HMAC-signed bodies for {seconds} s to a receiver without a connector, then \
         to one with a connector whose `log` destination prints to /dev/null, timed until the last one is delivered; \
         sender, receiver and connector share the machine"
    );
    Ok(Report::new("relay", method, all))
}
