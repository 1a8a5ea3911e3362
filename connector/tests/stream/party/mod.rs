//! The other ends of a connector under test: a scripted receiver on a real socket, and the stage with its surroundings.

pub(crate) mod receiver;
pub(crate) mod reference;
pub(crate) mod stage;

use std::future::Future;
use std::time::Duration;

/// Waits for `future`, which a failing connector would never finish.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(5), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 5 s"),
    }
}
