//! When to connect again: for ever, with full jitter, sooner after the machine has slept.

use std::time::{Duration, SystemTime};

use engine::backoff::Backoff;
use engine::clock;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

/// A connection that lived this long starts the backoff anew.
const STABLE: Duration = Duration::from_secs(10);

/// The waits after the token was refused: somebody must act, so trying often helps nobody.
const REFUSED: std::ops::RangeInclusive<f64> = 30.0..=60.0;

/// How far the wall clock may run ahead of the monotonic one before the machine counts as having slept.
const SLEPT: Duration = Duration::from_secs(15);

/// Decides how long to wait before the next try.
#[derive(Debug)]
pub(crate) struct Reconnect {
    backoff: Backoff,
    tries: u32,
    random: StdRng,
}

impl Reconnect {
    pub(crate) fn new(backoff: Backoff, random: StdRng) -> Self {
        Self { backoff, tries: 0, random }
    }

    /// Returns the wait after a connection that lived for `lived`, zero when none came about.
    pub(crate) fn after(&mut self, lived: Duration) -> Duration {
        self.tries = if lived >= STABLE { 1 } else { self.tries.saturating_add(1) };
        self.backoff.wait(self.tries, &mut self.random)
    }

    /// Returns the wait after the token was refused.
    pub(crate) fn after_refusal(&mut self) -> Duration {
        Duration::from_secs_f64(self.random.random_range(REFUSED))
    }
}

/// Notices that the machine slept: the monotonic clock stood still meanwhile, the wall clock did not.
#[derive(Debug)]
pub(crate) struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clocks {
    pub(crate) fn now() -> Self {
        Self { wall: clock::now(), monotonic: Instant::now() }
    }

    /// Returns true once per sleep.
    pub(crate) fn slept(&mut self) -> bool {
        self.slept_until(Self::now())
    }

    fn slept_until(&mut self, now: Self) -> bool {
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        let monotonic = now.monotonic.saturating_duration_since(self.monotonic);
        *self = now;
        wall > monotonic + SLEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn reconnect() -> Reconnect {
        let backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
        Reconnect::new(backoff, StdRng::seed_from_u64(7))
    }

    #[test]
    fn waits_grow_to_their_bound_and_start_anew_after_a_stable_connection() {
        let mut reconnect = reconnect();
        let longest = (0..200).map(|_| reconnect.after(Duration::ZERO)).max().unwrap();
        assert!(longest > Duration::from_secs(30) && longest <= Duration::from_secs(60), "{longest:?}");
        for _ in 0..200 {
            assert!(reconnect.after(STABLE) <= Duration::from_secs(1));
        }
    }

    #[test]
    fn a_refused_token_is_tried_again_slowly() {
        let mut reconnect = reconnect();
        for _ in 0..100 {
            let wait = reconnect.after_refusal();
            assert!(wait >= Duration::from_secs(30) && wait <= Duration::from_secs(60), "{wait:?}");
        }
    }

    #[test]
    fn a_sleep_is_noticed_once_and_a_corrected_clock_is_none() {
        let mut clocks = Clocks::now();
        let (wall, monotonic) = (clocks.wall, clocks.monotonic);
        let at = |wall_seconds: i64, seconds| {
            let shift = Duration::from_secs(wall_seconds.unsigned_abs());
            let wall = if wall_seconds < 0 { wall - shift } else { wall + shift };
            Clocks { wall, monotonic: monotonic + Duration::from_secs(seconds) }
        };
        assert!(!clocks.slept_until(at(100, 100)));
        assert!(clocks.slept_until(at(400, 101)));
        assert!(!clocks.slept_until(at(401, 102)));
        assert!(!clocks.slept_until(at(-1000, 103)));
    }
}
