//! What links did with webhooks that were given back.
//!
//! A webhook that comes again is not sent to links that confirmed it before, also when they did so only after it was
//! given back. Bounded: the oldest is forgotten, and then the whole chain runs again, as it does after a restart.

use std::collections::{HashMap, VecDeque};

use engine::webhook::Id;

use super::job::State;

/// How many webhooks are remembered.
const MOST: usize = 4_096;

/// The webhooks that were given back last.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: HashMap<Id, Vec<State>>,
    order: VecDeque<Id>,
}

impl Memory {
    /// Remembers how a webhook stands with its links.
    pub(super) fn keep(&mut self, id: Id, links: Vec<State>) {
        self.known.insert(id, links);
        self.order.push_back(id);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Takes a late report.
    pub(super) fn note(&mut self, id: Id, link: usize, state: State) {
        if let Some(known) = self.known.get_mut(&id).and_then(|links| links.get_mut(link))
            && *known != State::Confirmed
        {
            *known = state;
        }
    }

    /// Returns how a webhook that comes again stands with its links: those that failed are asked again.
    pub(super) fn recall(&mut self, id: Id) -> Option<Vec<State>> {
        let mut links = self.known.remove(&id)?;
        for state in &mut links {
            if matches!(state, State::Failed(_)) {
                *state = State::Next;
            }
        }
        Some(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ack::Outcome;

    #[test]
    fn a_late_confirmation_is_remembered_and_a_failure_is_asked_again() {
        let (mut memory, id) = (Memory::default(), Id([1; 16]));
        memory.keep(id, vec![State::Out, State::Failed(Outcome::lost()), State::Confirmed]);
        memory.note(id, 0, State::Confirmed);
        memory.note(id, 2, State::Failed(Outcome::lost()));
        assert_eq!(memory.recall(id), Some(vec![State::Confirmed, State::Next, State::Confirmed]));
        assert_eq!(memory.recall(id), None);
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut memory = Memory::default();
        let id = |n: usize| Id(u128::try_from(n).unwrap().to_be_bytes());
        (0..=MOST).for_each(|n| memory.keep(id(n), vec![State::Out]));
        assert_eq!(memory.recall(id(0)), None);
        assert!(memory.recall(id(1)).is_some());
    }
}
