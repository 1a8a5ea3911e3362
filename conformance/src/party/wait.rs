//! Waiting for something to become true, within a bound.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::case::Failed;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);

/// Asks `probe` until it gives something.
///
/// # Errors
/// It gave nothing within `most`; what was waited for.
pub async fn until<T, F, P>(what: &str, most: Duration, mut probe: P) -> Result<T, Failed>
where
    P: FnMut() -> F,
    F: Future<Output = Result<Option<T>, Failed>>,
{
    let end = Instant::now() + most;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(Failed(format!("waited {most:?} in vain: {what}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}
