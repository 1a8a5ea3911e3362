//! What the store knows: each channel's webhooks and counters, and what each segment still holds.
//!
//! Only the writer changes it, and only with what is durable; readers look at it under a read lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::store::Stats;

use super::entry::Salt;
use super::index::{Index, Slot};
use super::item::{Counters, Item, What};

/// The whole store's state.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) channels: Vec<Channel>,
    numbers: HashMap<String, u32>,
    pub(super) segments: BTreeMap<u32, Segment>,
}

/// One channel. Its number is its place in the list.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Empty only while the log is read and its name has not come yet.
    pub(super) name: String,
    pub(super) counters: Counters,
    pub(super) index: Index,
    pub(super) quarantined: u64,
    /// Entries that were found damaged at opening and that nothing has removed since.
    pub(super) damaged: BTreeSet<u64>,
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) salt: Salt,
    /// Up to where it counts.
    pub(super) len: u64,
    /// Webhooks in it that are live or parked.
    pub(super) held: u64,
    /// Bytes of their entries.
    pub(super) held_bytes: u64,
}

impl State {
    /// Returns the number of the channel called `name`, giving it one at the first call.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
        self.channels.push(Channel { name: name.to_owned(), ..Channel::default() });
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(super) fn channel(&self, number: u32) -> Option<&Channel> {
        self.channels.get(number as usize)
    }

    /// Takes in an item whose counters come with the group.
    pub(super) fn take_in(&mut self, item: &Item) {
        match item {
            Item::Open { .. } => {}
            Item::Channel { channel, name, counters } => {
                let one = self.grown(*channel);
                one.counters = *counters;
                if one.name != *name {
                    one.name.clone_from(name);
                    self.numbers.insert(name.clone(), *channel);
                }
            }
            Item::Record { channel, sequence, slot, moved } => {
                self.take_in_record(*channel, *sequence, *slot, *moved);
            }
            Item::Change { channel, sequence, what } => {
                let gone = self.grown(*channel).index.apply(*sequence, what);
                self.release(gone);
            }
        }
    }

    /// Takes in an item of an older run: counts too, and leaves out changes that do nothing.
    pub(super) fn replay(&mut self, item: &Item) {
        match item {
            Item::Record { channel, sequence, slot, moved } => {
                let one = self.grown(*channel);
                one.damaged.remove(sequence);
                one.counters.last_sequence = one.counters.last_sequence.max(*sequence);
                one.counters.accepted += u64::from(!moved);
                self.take_in_record(*channel, *sequence, *slot, *moved);
            }
            Item::Change { channel, sequence, what } => {
                let one = self.grown(*channel);
                if one.counters.count(one.index.place(*sequence), what) {
                    self.take_in(item);
                } else if matches!(what, What::Remove | What::Purge) && one.damaged.remove(sequence) {
                    // It was damaged after it had gone, which harms nobody.
                    let done = if *what == What::Remove {
                        &mut one.counters.delivered
                    } else {
                        &mut one.counters.purged
                    };
                    *done += 1;
                }
            }
            Item::Open { .. } | Item::Channel { .. } => self.take_in(item),
        }
    }

    /// Notes that the entry of a webhook cannot be read.
    pub(super) fn replay_damaged(&mut self, channel: u32, sequence: u64, moved: bool) {
        let one = self.grown(channel);
        one.counters.last_sequence = one.counters.last_sequence.max(sequence);
        one.counters.accepted += u64::from(!moved);
        if one.index.place(sequence).is_none() {
            one.damaged.insert(sequence);
        }
    }

    /// Returns the figures of a channel.
    pub(super) fn stats(&self, number: u32) -> Stats {
        let Some(Channel { counters, index, quarantined, .. }) = self.channel(number) else {
            return Stats::default();
        };
        Stats {
            accepted: counters.accepted,
            delivered: counters.delivered,
            dead_lettered: counters.dead_lettered,
            expired: counters.expired,
            dropped: counters.dropped,
            purged: counters.purged,
            live: index.live(),
            live_bytes: index.live_bytes(),
            parked: index.parked_len(),
            parked_bytes: index.parked_bytes(),
            quarantined: *quarantined,
            last_sequence: counters.last_sequence,
        }
    }

    /// Returns what opens a new segment: every channel's name and counters.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Item> {
        let named = (0..).zip(&self.channels).filter(|(_, one)| !one.name.is_empty());
        named.map(|(channel, one)| Item::Channel { channel, name: one.name.clone(), counters: one.counters })
    }

    fn take_in_record(&mut self, channel: u32, sequence: u64, slot: Slot, moved: bool) {
        let index = &mut self.grown(channel).index;
        let old = if moved { index.relocate(sequence, slot) } else { None };
        if old.is_none() && index.place(sequence).is_none() {
            index.insert(sequence, slot);
        } else if old.is_none() {
            return;
        }
        self.release(old);
        if let Some(segment) = self.segments.get_mut(&slot.segment()) {
            segment.held += 1;
            segment.held_bytes += u64::from(slot.len);
        }
    }

    fn release(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot
            && let Some(segment) = self.segments.get_mut(&slot.segment())
        {
            segment.held -= 1;
            segment.held_bytes -= u64::from(slot.len);
        }
    }

    fn grown(&mut self, number: u32) -> &mut Channel {
        let at = number as usize;
        if self.channels.len() <= at {
            self.channels.resize_with(at + 1, Channel::default);
        }
        &mut self.channels[at]
    }
}
