//! The time of day.
//!
//! Whoever needs a wall clock asks here, so that a simulation on tokio's paused clock has one that passes with it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::SystemTime;

use tokio::time::Instant;

thread_local! {
    /// What the time of day was at which moment, where it is simulated.
    static SIMULATED: Cell<Option<(SystemTime, Instant)>> = const { Cell::new(None) };
}

/// Returns the time of day.
#[must_use]
pub fn now() -> SystemTime {
    match SIMULATED.get() {
        None => SystemTime::now(),
        Some((time, began)) => time + began.elapsed(),
    }
}

/// Lets the time of day of this thread be `time` now, and pass as tokio's clock does, until what is returned drops.
pub fn simulate(time: SystemTime) -> Simulated {
    SIMULATED.set(Some((time, Instant::now())));
    Simulated(PhantomData)
}

/// Gives its thread the real time of day back when it drops.
#[derive(Debug)]
#[must_use = "the time of day is simulated for as long as this lives"]
pub struct Simulated(PhantomData<*const ()>);

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_time_of_day_passes_with_the_paused_clock_and_ends_with_its_guard() {
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let simulated = simulate(midnight);
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(now().duration_since(midnight).unwrap().as_secs(), 3_600);
        drop(simulated);
        assert!(now() > midnight + Duration::from_secs(365 * 86_400));
    }
}
