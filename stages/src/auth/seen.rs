//! What was used and must not be used again, in bounded memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What is used: the time it bears, and what tells it from others of that time.
pub(super) type Stamp = (u64, [u8; 16]);

/// Remembers what was used, and how often.
///
/// At most so many stamps are remembered; the oldest is forgotten first. What is forgotten raises a horizon, and a stamp at
/// or below it that is not remembered counts as used: room that runs out costs senders a second try, never the protection.
pub(super) struct Seen {
    table: Mutex<Table>,
    most: usize,
}

/// Protected is that no stamp and count are taken twice.
struct Table {
    counts: BTreeMap<Stamp, u32>,
    horizon: Stamp,
}

/// Why something cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// It was used.
    Before,
    /// It may have been: everything of its time is forgotten.
    Perhaps {
        /// The time up to which everything is forgotten.
        until: u64,
    },
}

impl Seen {
    /// Makes a memory of up to `most` stamps, for which everything before the time `since` may have been used.
    pub(super) fn new(most: usize, since: u64) -> Self {
        let table = Table { counts: BTreeMap::new(), horizon: (since, [0; 16]) };
        Self { table: Mutex::new(table), most }
    }

    /// Uses `stamp`, whose `count` must be greater at each use. Forgets what is older than `oldest`, which nobody may use.
    ///
    /// # Errors
    /// It was used, or may have been.
    pub(super) fn take(&self, stamp: Stamp, count: u32, oldest: u64) -> Result<(), Used> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        while table.counts.first_key_value().is_some_and(|((time, _), _)| *time < oldest) {
            table.forget();
        }
        let horizon = table.horizon;
        match table.counts.get_mut(&stamp) {
            Some(last) if count > *last => *last = count,
            Some(_) => return Err(Used::Before),
            None if stamp <= horizon => return Err(Used::Perhaps { until: horizon.0 }),
            None => drop(table.counts.insert(stamp, count)),
        }
        while table.counts.len() > self.most {
            table.forget();
        }
        Ok(())
    }
}

impl Table {
    fn forget(&mut self) {
        if let Some((stamp, _)) = self.counts.pop_first() {
            self.horizon = self.horizon.max(stamp);
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_count_must_grow_and_what_is_forgotten_is_not_taken_again() {
        let seen = Seen::new(2, 5);
        let at = |time: u64| (time, [1; 16]);
        assert_eq!(seen.take(at(10), 1, 0), Ok(()));
        assert_eq!(seen.take(at(10), 1, 0), Err(Used::Before));
        assert_eq!(seen.take(at(10), 3, 0), Ok(()));
        assert_eq!(seen.take(at(10), 2, 0), Err(Used::Before));
        assert_eq!(seen.take(at(4), 1, 0), Err(Used::Perhaps { until: 5 }), "before the memory began");
        assert_eq!(seen.take(at(12), 1, 0), Ok(()));
        assert_eq!(seen.take(at(11), 1, 0), Ok(()), "which has no room for the first");
        assert_eq!(seen.take(at(10), 9, 0), Err(Used::Perhaps { until: 10 }));
        assert_eq!(seen.take(at(13), 1, 13), Ok(()), "and is older than nothing");
        assert_eq!(seen.take(at(12), 9, 0), Err(Used::Perhaps { until: 12 }), "which is too old by now");
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice_however_little_room_there_is(
            most in 1_usize..4,
            uses in prop::collection::vec((0_u64..6, 0_u8..3, 1_u32..4, 0_u64..6), 0..60),
        ) {
            let (seen, mut taken) = (Seen::new(most, 0), BTreeSet::new());
            for (time, which, count, oldest) in uses {
                if seen.take((time, [which; 16]), count, oldest).is_ok() {
                    prop_assert!(taken.insert((time, which, count)));
                }
                prop_assert!(seen.table.lock().unwrap().counts.len() <= most);
            }
        }
    }
}
