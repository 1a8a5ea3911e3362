//! What the loops of flow stages wait for.

use tokio::sync::watch;
use tokio::time::Instant;

/// Waits until everything should end; for ever when nobody is left to say so.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// Waits until `due`.
pub(super) async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
