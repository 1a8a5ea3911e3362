//! The webhooks that were delivered lately, by id.
//!
//! A settlement can be lost with its connection after the destination has confirmed. The receiver then sends the webhook
//! again; knowing its id, the connector acknowledges it without calling the destination a second time.

use std::collections::{HashSet, VecDeque};

use engine::webhook::Id;

/// The newest ids, in the order they were added.
#[derive(Debug)]
pub(crate) struct Recent {
    most: usize,
    known: HashSet<Id>,
    order: VecDeque<Id>,
}

impl Recent {
    /// How many ids a channel remembers.
    const MOST: usize = 65_536;

    fn bounded(most: usize) -> Self {
        Self { most, known: HashSet::new(), order: VecDeque::new() }
    }

    /// Adds `id`; the oldest one is forgotten when there are too many.
    pub(crate) fn insert(&mut self, id: Id) {
        if !self.known.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Returns true when `id` was added lately.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.known.contains(&id)
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::bounded(Self::MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::bounded(2);
        let ids = [Id([1; 16]), Id([2; 16]), Id([3; 16])];
        for id in [ids[0], ids[0], ids[1], ids[2]] {
            recent.insert(id);
        }
        assert_eq!(ids.map(|id| recent.contains(id)), [false, true, true]);
    }
}
