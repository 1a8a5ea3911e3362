//! What became of webhooks, waiting to be told to the receiver.
//!
//! Settlements are coalesced: told once there are [`MANY`], after [`LINGER`], or at once when nothing else is in
//! progress. What was not sent whole before its connection ended is told on the next one, by message id. An entry leaves
//! when the frame that tells it was written.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use engine::ack::{Cause, Outcome, Reason};
use engine::webhook::Id;
use schemas::wire::frame::{Returned, Settle};
use tokio::time::Instant;

/// How many settlements one frame tells at most.
pub(crate) const MANY: usize = 256;

/// How long a settlement waits for others.
const LINGER: Duration = Duration::from_millis(5);

/// How many settlements are kept while there is no connection; the oldest are forgotten, hence redelivered.
const KEPT: usize = 65_536;

/// One settlement.
#[derive(Debug)]
struct Entry {
    id: Id,
    /// The session's number for it; none once the session is over.
    seq: Option<u64>,
    outcome: Outcome,
}

/// Settlements that have not been told, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Settlements {
    queue: VecDeque<Entry>,
    /// How many of the front are in a frame that is being written.
    sending: usize,
    since: Option<Instant>,
}

impl Settlements {
    /// Adds what became of the webhook that this session calls `seq`.
    pub(crate) fn push(&mut self, id: Id, seq: u64, outcome: Outcome) {
        self.add(Entry { id, seq: Some(seq), outcome });
    }

    /// Adds what became of a webhook that an earlier session brought. That it was given back is not told: the end of that
    /// session gave it back already, and somebody else may be working on it.
    pub(crate) fn push_earlier(&mut self, id: Id, outcome: Outcome) {
        match outcome {
            Outcome::Delivered | Outcome::Failed { .. } => {
                self.add(Entry { id, seq: None, outcome });
                self.forget_beyond_bound();
            }
            Outcome::Abandoned { .. } | Outcome::Refused { .. } => {}
        }
    }

    fn add(&mut self, entry: Entry) {
        self.queue.push_back(entry);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Returns how many have not been told.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns true when everything was told.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns when the next frame is due; none when there is nothing to tell. `idle`: no other settlement is to come.
    pub(crate) fn due(&self, idle: bool) -> Option<Instant> {
        let at_once = idle || self.queue.len() >= MANY;
        self.since.map(|since| if at_once { since } else { since + LINGER })
    }

    /// Returns the next frame's content. [`Settlements::sent`] follows once it was written.
    pub(crate) fn next(&mut self) -> Settle {
        self.sending = self.queue.len().min(MANY);
        let mut settle = Settle::default();
        let mut delivered = Vec::new();
        for Entry { id, seq, outcome } in self.queue.range(..self.sending) {
            match (*seq, outcome) {
                (None, outcome) => settle.earlier.push((*id, outcome.clone())),
                (Some(seq), Outcome::Delivered) => delivered.push(seq),
                (Some(seq), Outcome::Failed { reason }) => settle.rejected.push((seq, reason.clone())),
                (Some(seq), Outcome::Abandoned { delay, cause, reason }) => {
                    let reason = reason.clone().unwrap_or_else(|| Reason::new(""));
                    settle.returned.push(Returned { seq, cause: *cause, delay: *delay, reason });
                }
                // Only gates refuse, and none stands behind a stream.
                (Some(seq), Outcome::Refused { .. }) => {
                    let reason = Reason::new("refused");
                    settle.returned.push(Returned { seq, cause: Cause::Failed, delay: None, reason });
                }
            }
        }
        settle.delivered = ranges(delivered);
        settle
    }

    /// Forgets what the last frame told.
    pub(crate) fn sent(&mut self) {
        self.queue.drain(..std::mem::take(&mut self.sending));
        if self.queue.is_empty() {
            self.since = None;
        }
    }

    /// Turns everything that was not told into settlements of an earlier session.
    pub(crate) fn disconnected(&mut self) {
        self.sending = 0;
        self.since = None;
        for Entry { id, outcome, .. } in std::mem::take(&mut self.queue) {
            self.push_earlier(id, outcome);
        }
    }

    fn forget_beyond_bound(&mut self) {
        if self.queue.len() > KEPT && self.sending == 0 {
            self.queue.pop_front();
        }
    }
}

/// Returns `numbers` as ranges, in order.
pub(crate) fn ranges(mut numbers: Vec<u64>) -> Vec<RangeInclusive<u64>> {
    numbers.sort_unstable();
    let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if number <= last.end().saturating_add(1) => *last = *last.start()..=number,
            Some(_) | None => ranges.push(number..=number),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Id {
        Id([n; 16])
    }

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(ranges(vec![5, 1, 2, 9, 3, 3]), [1..=3, 5..=5, 9..=9]);
        assert_eq!(ranges(vec![u64::MAX, 0]), [0..=0, u64::MAX..=u64::MAX]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_settlement_waits_for_others_unless_nothing_else_is_in_progress() {
        let mut settlements = Settlements::default();
        assert_eq!(settlements.due(true), None);
        let now = Instant::now();
        settlements.push(id(1), 1, Outcome::Delivered);
        assert_eq!((settlements.due(true), settlements.due(false)), (Some(now), Some(now + LINGER)));
        for seq in 2..=MANY as u64 {
            settlements.push(id(2), seq, Outcome::Delivered);
        }
        assert_eq!(settlements.due(false), Some(now));
    }

    #[tokio::test]
    async fn what_was_not_written_is_told_by_id_on_the_next_connection() {
        let mut settlements = Settlements::default();
        settlements.push(id(1), 1, Outcome::Delivered);
        settlements.next();
        settlements.sent();
        settlements.push(id(2), 2, Outcome::Delivered);
        settlements.push(id(3), 3, Outcome::lost());
        let rejected = Outcome::Failed { reason: Reason::new("no") };
        settlements.push(id(4), 4, rejected.clone());
        assert_eq!(settlements.next().delivered, [2..=2]);
        settlements.disconnected();
        let again = settlements.next();
        assert_eq!(again.earlier, [(id(2), Outcome::Delivered), (id(4), rejected)]);
        assert!(again.delivered.is_empty() && again.rejected.is_empty() && again.returned.is_empty());
        settlements.sent();
        assert!(settlements.is_empty());
    }

    #[tokio::test]
    async fn what_waits_for_a_connection_is_bounded() {
        let mut settlements = Settlements::default();
        for _ in 0..KEPT + 3 {
            settlements.push_earlier(id(1), Outcome::Delivered);
        }
        assert_eq!(settlements.len(), KEPT);
    }
}
