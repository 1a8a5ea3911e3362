//! Webhooks that were confirmed before they were handed out: by a connector that held them when the receiver, or the
//! pipeline, was begun anew.

use std::collections::{HashSet, VecDeque};

use engine::webhook::Id;

/// Remembered at a time, per channel; beyond it the oldest are forgotten, hence delivered again.
const MOST: usize = 16_384;

/// Ids that nobody knew when they were confirmed.
#[derive(Debug, Default)]
pub(super) struct Early {
    ids: HashSet<Id>,
    /// In the order they came; those that were taken since are still in it.
    order: VecDeque<Id>,
}

impl Early {
    /// Remembers that a webhook was confirmed.
    pub(super) fn note(&mut self, id: Id) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Returns true when the webhook was confirmed, and forgets it.
    pub(super) fn take(&mut self, id: Id) -> bool {
        let taken = self.ids.remove(&id);
        if taken && self.ids.is_empty() {
            self.order.clear();
        }
        taken
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
        assert!(early.order.is_empty());
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
