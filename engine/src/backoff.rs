//! Jittered exponential backoff.
//!
//! Full jitter: each wait is drawn evenly from zero to the exponential bound, so that many clients which failed together
//! do not come back together.

use std::time::Duration;

use rand::Rng;

/// How long to wait before trying again, growing with every try in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub initial: Duration,
    /// The bound that no wait exceeds.
    pub max: Duration,
    /// What the bound is multiplied with after each try.
    pub multiplier: f64,
}

impl Backoff {
    /// Makes a backoff that doubles from `initial` to `max`.
    #[must_use]
    pub const fn doubling(initial: Duration, max: Duration) -> Self {
        Self { initial, max, multiplier: 2.0 }
    }

    /// Returns the bound of the wait after `tries` failed tries in a row (1 after the first).
    #[must_use]
    pub fn bound(&self, tries: u32) -> Duration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.multiplier.max(1.0).powi(exponent);
        if seconds.is_finite() && seconds < self.max.as_secs_f64() {
            Duration::from_secs_f64(seconds)
        } else {
            self.max
        }
    }

    /// Draws the wait after `tries` failed tries in a row, evenly between zero and the bound.
    pub fn wait(&self, tries: u32, random: &mut impl Rng) -> Duration {
        self.bound(tries).mul_f64(random.random_range(0.0..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn the_bound_doubles_up_to_its_maximum() {
        let backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
        let bounds: Vec<_> = [1, 2, 3, 7, 8, u32::MAX].map(|tries| backoff.bound(tries).as_secs()).into();
        assert_eq!(bounds, [1, 2, 4, 60, 60, 60]);
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_bound(tries: u32, seed: u64, multiplier in 0.1_f64..10.0) {
            let backoff = Backoff { multiplier, ..Backoff::doubling(Duration::from_millis(10), Duration::from_secs(60)) };
            prop_assert!(backoff.wait(tries, &mut StdRng::seed_from_u64(seed)) <= backoff.bound(tries));
        }
    }
}
