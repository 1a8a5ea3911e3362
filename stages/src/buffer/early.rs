//! Webhooks that were confirmed before they were handed out: by a connector that held them when the receiver, or the
//! pipeline, was begun anew.

use std::collections::{BTreeMap, HashMap};

use engine::webhook::Id;

/// Remembered at a time, per channel; beyond it the oldest are forgotten, hence delivered again.
const MOST: usize = 16_384;

/// Ids that nobody knew when they were confirmed.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Each with its turn.
    turns: HashMap<Id, u64>,
    by_turn: BTreeMap<u64, Id>,
    next: u64,
}

impl Early {
    /// Remembers that a webhook was confirmed.
    pub(super) fn note(&mut self, id: Id) {
        self.take(id);
        self.turns.insert(id, self.next);
        self.by_turn.insert(self.next, id);
        self.next += 1;
        if self.turns.len() > MOST
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.turns.remove(&oldest);
        }
    }

    /// Returns true when the webhook was confirmed, and forgets it.
    pub(super) fn take(&mut self, id: Id) -> bool {
        self.turns.remove(&id).is_some_and(|turn| self.by_turn.remove(&turn).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> Id {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Id(bytes)
    }

    #[test]
    fn what_was_confirmed_is_known_once() {
        let mut early = Early::default();
        early.note(id(1));
        early.note(id(1));
        assert_eq!([early.take(id(2)), early.take(id(1)), early.take(id(1))], [false, true, false]);
        assert!(early.by_turn.is_empty());
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_the_bound() {
        let mut early = Early::default();
        for n in 0..=MOST {
            early.note(id(n));
        }
        assert_eq!([early.take(id(0)), early.take(id(1)), early.take(id(MOST))], [false, true, true]);
    }
}
