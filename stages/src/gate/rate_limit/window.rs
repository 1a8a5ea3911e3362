//! What was taken within a sliding window.
//!
//! Times that lie close together are kept as one run, which leaves the window when its last one does: at most 34 runs
//! whatever the limit, and never more in the window than the limit allows. The price is that a place may come free a
//! thirty-second of the window late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// In how many parts of a window times are told apart.
const PARTS: u32 = 32;

/// What was taken within a window.
#[derive(Debug, Default)]
pub(super) struct Window {
    runs: VecDeque<Run>,
    /// How many are in all runs together.
    count: u32,
}

#[derive(Debug)]
struct Run {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Window {
    /// Counts one more at `now`.
    ///
    /// # Errors
    /// The window of this `length` holds as many as `most` already: how long until it holds less.
    pub(super) fn take(&mut self, now: Instant, length: Duration, most: u32) -> Result<(), Duration> {
        self.forget(now, length);
        if self.count >= most {
            return Err(self.runs.front().map_or(length, |run| run.last + length - now));
        }
        self.count += 1;
        match self.runs.back_mut() {
            Some(run) if now - run.first < length / PARTS => {
                (run.last, run.count) = (now, run.count + 1);
            }
            Some(_) | None => self.runs.push_back(Run { first: now, last: now, count: 1 }),
        }
        Ok(())
    }

    /// Returns when one was taken last, if any is still in the window.
    pub(super) fn last(&self, now: Instant, length: Duration) -> Option<Instant> {
        self.runs.back().map(|run| run.last).filter(|last| *last + length > now)
    }

    fn forget(&mut self, now: Instant, length: Duration) {
        while let Some(run) = self.runs.pop_front_if(|run| run.last + length <= now) {
            self.count -= run.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit_and_none_is_empty_for_long(
            waits in prop::collection::vec(0_u64..40, 1..400),
            most in 1_u32..12,
        ) {
            let (start, length) = (Instant::now(), Duration::from_millis(320));
            let (mut window, mut taken, mut at) = (Window::default(), Vec::<u64>::new(), 0);
            for wait in waits {
                at += wait;
                let now = start + Duration::from_millis(at);
                let within = |slack: u64| taken.iter().filter(|then| **then + 320 + slack > at).count();
                // A run is at most 10 ms long.
                let (exact, late) = (within(0), within(10));
                match window.take(now, length, most) {
                    Ok(()) => {
                        prop_assert!(exact < most as usize);
                        taken.push(at);
                    }
                    Err(wait) => {
                        prop_assert!(late >= most as usize);
                        prop_assert!(wait > Duration::ZERO && wait <= length);
                    }
                }
                prop_assert!(window.runs.len() <= PARTS as usize + 2);
            }
        }
    }
}
