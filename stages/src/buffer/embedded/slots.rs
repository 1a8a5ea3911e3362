//! A queue of slots in pieces, so that it grows without being copied: a growing vector would need three times its room for a
//! moment, and an allocator keeps what it was given.

use std::collections::VecDeque;

use super::index::Slot;

/// Slots of one piece: 4 KiB.
const PIECE: usize = 256;

/// Slots in order, taken from the front and added at the back.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pieces: VecDeque<Box<[Slot; PIECE]>>,
    /// Where the first slot lies in the first piece.
    first: usize,
    len: usize,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the slot at a place, counted from the front.
    pub(super) fn get(&self, at: usize) -> Option<&Slot> {
        let at = self.first + Some(at).filter(|at| *at < self.len)?;
        self.pieces.get(at / PIECE).map(|piece| &piece[at % PIECE])
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Slot> {
        let at = self.first + Some(at).filter(|at| *at < self.len)?;
        self.pieces.get_mut(at / PIECE).map(|piece| &mut piece[at % PIECE])
    }

    pub(super) fn push_back(&mut self, slot: Slot) {
        let at = self.first + self.len;
        if at / PIECE == self.pieces.len() {
            self.pieces.push_back(Box::new([Slot::EMPTY; PIECE]));
        }
        self.pieces[at / PIECE][at % PIECE] = slot;
        self.len += 1;
    }

    pub(super) fn pop_front(&mut self) -> Option<Slot> {
        let slot = *self.get(0)?;
        (self.first, self.len) = (self.first + 1, self.len - 1);
        if self.first == PIECE || self.is_empty() {
            self.pieces.pop_front();
            self.first = 0;
        }
        Some(slot)
    }

    /// Walks the slots from a place on.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = Slot> {
        (at..self.len).filter_map(|at| self.get(at).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_emptied_queue_keeps_no_piece() {
        let mut slots = Slots::default();
        (0..1_000).for_each(|n| slots.push_back(Slot::new(1, n, 1, 1)));
        while slots.pop_front().is_some() {}
        assert!(slots.pieces.is_empty());
    }

    proptest! {
        #[test]
        fn it_does_what_a_deque_does(steps in prop::collection::vec((any::<bool>(), 1_usize..400), 0..40)) {
            let (mut slots, mut model, mut next) = (Slots::default(), VecDeque::new(), 0);
            for (push, times) in steps {
                for _ in 0..times {
                    if push {
                        let slot = Slot::new(1, next, 1, 1);
                        next += 1;
                        slots.push_back(slot);
                        model.push_back(slot);
                    } else {
                        prop_assert_eq!(slots.pop_front(), model.pop_front());
                    }
                }
                let middle = model.len() / 2;
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.get(middle), model.get(middle));
                prop_assert!(slots.from(middle).eq(model.iter().skip(middle).copied()));
            }
        }
    }
}
