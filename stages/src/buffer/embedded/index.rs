//! Where each webhook of a channel lies, 16 bytes apiece for those that wait their turn.
//!
//! `recent` holds them by sequence minus `base`. What would stretch it (a webhook that outlives thousands of later ones)
//! moves to `early`; deferred and parked webhooks have maps of their own with what else is known of them.

use std::collections::BTreeMap;

use engine::store::{Limit, ParkCause, Tries};

use super::item::{Letter, What};
use super::slots::Slots;

/// A hole in the sequences wider than this is not filled with empty slots.
const WIDEST_HOLE: u64 = 4_096;

/// Below this length `recent` is never thinned out.
const SHORT: usize = 1_024;

/// Where a webhook's entry lies and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Segment in the upper 28 bits, offset in the lower 36.
    at: u64,
    /// Bytes of the entry with its header; 0 in an empty slot.
    pub(super) len: u32,
    /// What it counts against byte bounds.
    pub(super) weight: u32,
}

const OFFSET_BITS: u32 = 36;

impl Slot {
    pub(super) const EMPTY: Self = Self { at: 0, len: 0, weight: 0 };

    pub(super) fn new(segment: u32, offset: u64, len: u32, weight: u32) -> Self {
        Self { at: u64::from(segment) << OFFSET_BITS | offset, len, weight }
    }

    pub(super) fn segment(self) -> u32 {
        u32::try_from(self.at >> OFFSET_BITS).unwrap_or(u32::MAX)
    }

    pub(super) fn offset(self) -> u64 {
        self.at & ((1 << OFFSET_BITS) - 1)
    }

    fn there(self) -> Option<Self> {
        (self.len > 0).then_some(self)
    }
}

/// What a webhook waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its turn.
    Queued,
    /// Its time.
    Deferred,
    /// An operator.
    Parked(ParkCause),
}

/// A webhook that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) slot: Slot,
    pub(super) tries: Tries,
    /// In microseconds since 1970; none means at once.
    pub(super) until: Option<u64>,
}

/// A webhook to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) sequence: u64,
    pub(super) slot: Slot,
    pub(super) tries: Tries,
}

/// Every webhook of a channel.
#[derive(Debug, Default)]
pub(super) struct Index {
    base: u64,
    recent: Slots,
    /// Slots in `recent` that are not empty.
    filled: usize,
    early: BTreeMap<u64, Slot>,
    deferred: BTreeMap<u64, Waiting>,
    parked: BTreeMap<u64, (Slot, Letter)>,
    live_bytes: u64,
    parked_bytes: u64,
}

impl Index {
    pub(super) fn live(&self) -> u64 {
        (self.filled + self.early.len() + self.deferred.len()) as u64
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn parked_len(&self) -> u64 {
        self.parked.len() as u64
    }

    pub(super) fn parked_bytes(&self) -> u64 {
        self.parked_bytes
    }

    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        if self.queued_slot(sequence).is_some() {
            return Some(Place::Queued);
        }
        if self.deferred.contains_key(&sequence) {
            return Some(Place::Deferred);
        }
        self.parked.get(&sequence).map(|(_, letter)| Place::Parked(letter.cause))
    }

    pub(super) fn find(&self, sequence: u64) -> Option<Wanted> {
        let queued = self.queued_slot(sequence).map(|slot| (slot, Tries::default()));
        let deferred = || self.deferred.get(&sequence).map(|one| (one.slot, one.tries));
        let parked = || self.parked.get(&sequence).map(|(slot, letter)| (*slot, letter.tries));
        let (slot, tries) = queued.or_else(deferred).or_else(parked)?;
        Some(Wanted { sequence, slot, tries })
    }

    /// Puts a webhook at the place it takes when it is new.
    pub(super) fn insert(&mut self, sequence: u64, slot: Slot) {
        self.live_bytes += u64::from(slot.weight);
        if self.recent.is_empty() {
            self.base = sequence;
        }
        let end = self.base + self.recent.len() as u64;
        if sequence >= end + WIDEST_HOLE {
            self.thin_out(0);
            self.base = sequence;
        }
        if sequence < self.base {
            self.early.insert(sequence, slot);
            return;
        }
        while self.base + self.recent.len() as u64 <= sequence {
            self.recent.push_back(Slot::EMPTY);
        }
        if let Some(place) = self.position(sequence).and_then(|at| self.recent.get_mut(at)) {
            *place = slot;
            self.filled += 1;
        }
    }

    /// Says that a webhook lies elsewhere now.
    pub(super) fn relocate(&mut self, sequence: u64, slot: Slot) -> Option<Slot> {
        let at = self.position(sequence);
        let recent = at.and_then(|at| self.recent.get_mut(at)).filter(|slot| slot.len > 0);
        let place = recent
            .or_else(|| self.early.get_mut(&sequence))
            .or_else(|| self.deferred.get_mut(&sequence).map(|one| &mut one.slot))
            .or_else(|| self.parked.get_mut(&sequence).map(|(slot, _)| slot))?;
        Some(std::mem::replace(place, slot))
    }

    /// Does what an effective change says. Returns the slot of a webhook that is gone now.
    pub(super) fn apply(&mut self, sequence: u64, what: &What) -> Option<Slot> {
        let slot = self.take(sequence)?;
        match what {
            What::Remove | What::Purge => return Some(slot),
            What::Defer { tries, until } => self.defer(sequence, slot, *tries, *until),
            What::Redrive => self.defer(sequence, slot, Tries::default(), None),
            What::Park(letter) => {
                self.parked_bytes += u64::from(slot.weight);
                self.parked.insert(sequence, (slot, letter.clone()));
            }
        }
        None
    }

    /// Returns queued webhooks above `after`, within `limit` and at least one if there is any.
    pub(super) fn queued(&self, after: u64, limit: Limit) -> Vec<Wanted> {
        let early = self.early.range(after.saturating_add(1)..).map(|(sequence, slot)| (*sequence, *slot));
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(self.base)).unwrap_or(usize::MAX);
        let skip = skip.min(self.recent.len());
        let numbered = (self.base + skip as u64..).zip(self.recent.from(skip));
        let recent = numbered.filter(|(_, slot)| slot.len > 0);
        let mut bytes = 0;
        let within = early.chain(recent).enumerate().take_while(|(n, (_, slot))| {
            bytes += slot.weight as usize;
            *n == 0 || (*n < limit.events && bytes <= limit.bytes)
        });
        within.map(|(_, (sequence, slot))| Wanted { sequence, slot, tries: Tries::default() }).collect()
    }

    /// Returns the deferred webhooks above `after`, in order.
    pub(super) fn deferred(&self, after: u64) -> impl Iterator<Item = (u64, &Waiting)> {
        self.deferred.range(after.saturating_add(1)..).map(|(sequence, one)| (*sequence, one))
    }

    /// Returns how many are parked, cause by cause.
    pub(super) fn parked_by_cause(&self) -> [(ParkCause, u64); 3] {
        [ParkCause::DeadLettered, ParkCause::Expired, ParkCause::Dropped].map(|cause| {
            let of_it = self.parked.values().filter(|(_, letter)| letter.cause == cause);
            (cause, of_it.count() as u64)
        })
    }

    /// Returns what would bring a new webhook to the state of this one; none while it is queued or gone.
    pub(super) fn state_of(&self, sequence: u64) -> Option<What> {
        if let Some(Waiting { tries, until, .. }) = self.deferred.get(&sequence) {
            return Some(What::Defer { tries: *tries, until: *until });
        }
        self.parked.get(&sequence).map(|(_, letter)| What::Park(letter.clone()))
    }

    /// Returns the parked webhooks above `after`, oldest first.
    pub(super) fn parked(&self, after: u64) -> impl Iterator<Item = (u64, &(Slot, Letter))> {
        self.parked.range(after.saturating_add(1)..).map(|(sequence, one)| (*sequence, one))
    }

    /// Returns every webhook, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Slot)> {
        let recent = (self.base..).zip(self.recent.from(0)).filter(|(_, slot)| slot.len > 0);
        let early = self.early.iter().map(|(sequence, slot)| (*sequence, *slot));
        let deferred = self.deferred.iter().map(|(sequence, one)| (*sequence, one.slot));
        let parked = self.parked.iter().map(|(sequence, (slot, _))| (*sequence, *slot));
        recent.chain(early).chain(deferred).chain(parked)
    }

    fn queued_slot(&self, sequence: u64) -> Option<Slot> {
        let recent = self.position(sequence).and_then(|at| self.recent.get(at)?.there());
        recent.or_else(|| self.early.get(&sequence).copied())
    }

    fn defer(&mut self, sequence: u64, slot: Slot, tries: Tries, until: Option<u64>) {
        self.live_bytes += u64::from(slot.weight);
        self.deferred.insert(sequence, Waiting { slot, tries, until });
    }

    fn take(&mut self, sequence: u64) -> Option<Slot> {
        if let Some((slot, _)) = self.parked.remove(&sequence) {
            self.parked_bytes -= u64::from(slot.weight);
            return Some(slot);
        }
        let live = self.deferred.remove(&sequence).map(|one| one.slot);
        let slot = live.or_else(|| self.early.remove(&sequence)).or_else(|| self.take_recent(sequence))?;
        self.live_bytes -= u64::from(slot.weight);
        Some(slot)
    }

    fn take_recent(&mut self, sequence: u64) -> Option<Slot> {
        let at = self.position(sequence)?;
        let slot = std::mem::replace(self.recent.get_mut(at)?, Slot::EMPTY).there()?;
        self.filled -= 1;
        while self.recent.get(0).is_some_and(|slot| slot.len == 0) {
            self.recent.pop_front();
            self.base += 1;
        }
        if self.recent.len() > SHORT {
            self.thin_out(4 * self.filled);
        }
        Some(slot)
    }

    /// Moves the oldest out of `recent` until it is at most `most` long.
    fn thin_out(&mut self, most: usize) {
        while self.recent.len() > most
            && let Some(slot) = self.recent.pop_front()
        {
            if slot.len > 0 {
                self.early.insert(self.base, slot);
                self.filled -= 1;
            }
            self.base += 1;
        }
    }

    fn position(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.checked_sub(self.base)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(n: u64) -> Slot {
        Slot::new(3, n, 50, 1)
    }

    fn all(index: &Index) -> Vec<u64> {
        let limit = Limit { events: usize::MAX, bytes: usize::MAX };
        index.queued(0, limit).iter().map(|wanted| wanted.sequence).collect()
    }

    #[test]
    fn a_slot_is_sixteen_bytes_and_reads_back() {
        assert_eq!(size_of::<Slot>(), 16);
        let slot = Slot::new(70_000, 5 << 30, 10, 20);
        assert_eq!((slot.segment(), slot.offset()), (70_000, 5 << 30));
    }

    #[test]
    fn a_webhook_that_outlives_the_others_does_not_stretch_the_index() {
        let mut index = Index::default();
        (1..=100_000).for_each(|n| index.insert(n, slot(n)));
        (2..=100_000).for_each(|n| assert!(index.apply(n, &What::Remove).is_some()));
        assert!(index.recent.len() <= SHORT + 1, "{}", index.recent.len());
        assert_eq!((all(&index), index.live(), index.live_bytes()), (vec![1], 1, 1));
    }

    #[test]
    fn a_hole_in_the_sequences_is_not_filled() {
        let mut index = Index::default();
        index.insert(5, slot(5));
        index.insert(1 << 40, slot(6));
        index.insert(3, slot(7));
        assert!(index.recent.len() < 2);
        assert_eq!(all(&index), vec![3, 5, 1 << 40]);
        assert_eq!(index.place(5), Some(Place::Queued));
    }
}
