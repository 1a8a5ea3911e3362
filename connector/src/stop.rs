//! When to finish: told so, or nobody is left who could say it.

use tokio::sync::watch;

/// Waits until it is time to finish. Cancelling loses nothing.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could say stop is gone.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Returns true when it is time to finish.
pub(crate) fn is_told(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
