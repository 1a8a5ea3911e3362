//! One group in the making: its bytes, what they say, and the counters afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use engine::record;
use engine::store::{Change, Tries};
use engine::webhook::{Webhook, to_micros};

use super::entry::{self, Kind, Salt};
use super::index::{Place, Slot};
use super::item::{Counters, Item, Letter, What};
use super::state::State;

/// Bytes of a reason that are kept.
const REASON: usize = 4_096;

/// A group that is being put together. Later changes in it see what earlier ones did.
pub(super) struct Group<'a> {
    state: &'a State,
    salt: Salt,
    segment: u32,
    /// Where in the segment `out` will begin.
    base: u64,
    out: &'a mut BytesMut,
    /// Channels whose name stands in this segment already.
    announced: &'a HashSet<u32>,
    pub(super) items: Vec<Item>,
    pub(super) counters: BTreeMap<u32, Counters>,
    changed: HashMap<(u32, u64), Option<(Place, Tries)>>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        state: &'a State,
        (segment, salt, base): (u32, Salt, u64),
        announced: &'a HashSet<u32>,
        out: &'a mut BytesMut,
    ) -> Self {
        let (items, counters, changed) = (Vec::new(), BTreeMap::new(), HashMap::new());
        Self { state, salt, segment, base, out, announced, items, counters, changed }
    }

    /// Writes what opens a segment, twice, so that no single damage takes the channels' names and counters away.
    pub(super) fn open(&mut self, previous: Option<(u32, u64)>) {
        let opening = Item::Open { previous };
        let channels: Vec<Item> = self.state.snapshot().collect();
        [&opening, &opening].into_iter().for_each(|item| item.put(self.out, self.salt, self.segment));
        for item in channels.iter().chain(&channels) {
            item.put(self.out, self.salt, self.segment);
        }
        self.items.push(opening);
        self.items.extend(channels);
    }

    /// Adds new webhooks and returns their sequences.
    pub(super) fn append(&mut self, channel: u32, webhooks: &[Webhook]) -> Vec<u64> {
        self.touch(channel);
        webhooks.iter().map(|webhook| self.append_one(channel, webhook)).collect()
    }

    fn append_one(&mut self, channel: u32, webhook: &Webhook) -> u64 {
        let counters = self.counters.entry(channel).or_default();
        counters.accepted += 1;
        counters.last_sequence += 1;
        let sequence = counters.last_sequence;
        let weight = u32::try_from(webhook.weight()).unwrap_or(u32::MAX);
        self.record(Kind::Record, (channel, sequence), weight, |out| record::encode(webhook, out));
        sequence
    }

    /// Copies a webhook with its state from an older segment.
    pub(super) fn carry(&mut self, channel: u32, sequence: u64, record: &[u8], weight: u32) {
        self.touch(channel);
        let what = self.state.channel(channel).and_then(|one| one.index.state_of(sequence));
        self.record(Kind::Moved, (channel, sequence), weight, |out| {
            let mut state = BytesMut::new();
            if let Some(what) = &what {
                what.put(&mut state);
            }
            out.put_u8(what.as_ref().map_or(0, |what| what.kind() as u8));
            out.put_u32(u32::try_from(state.len()).unwrap_or(u32::MAX));
            out.put_slice(&state);
            out.put_slice(record);
        });
        // It is in that state already; the sidecar is told.
        self.items.extend(what.map(|what| Item::Change { channel, sequence, what }));
    }

    /// Adds a change of state; one that does nothing is left out.
    pub(super) fn change(&mut self, channel: u32, change: &Change) {
        let (sequence, what) = match change {
            Change::Remove { sequence } => (*sequence, What::Remove),
            Change::Redrive { sequence } => (*sequence, What::Redrive),
            Change::Purge { sequence } => (*sequence, What::Purge),
            Change::Defer { sequence, tries, until } => {
                (*sequence, What::Defer { tries: *tries, until: until.map(to_micros) })
            }
            Change::Park { sequence, cause, reason, tries } => {
                let mut reason = reason.clone();
                reason.truncate(reason.floor_char_boundary(REASON));
                let known = || self.at(channel, *sequence).map(|(_, tries)| tries).unwrap_or_default();
                let tries = tries.unwrap_or_else(known);
                (
                    *sequence,
                    What::Park(Letter { cause: *cause, at: to_micros(SystemTime::now()), tries, reason }),
                )
            }
        };
        let place = self.at(channel, sequence).map(|(place, _)| place);
        self.touch(channel);
        if !self.counters.entry(channel).or_default().count(place, &what) {
            return;
        }
        let after = match &what {
            What::Remove | What::Purge => None,
            What::Redrive => Some((Place::Deferred, Tries::default())),
            What::Defer { tries, .. } => Some((Place::Deferred, *tries)),
            What::Park(letter) => Some((Place::Parked(letter.cause), letter.tries)),
        };
        self.changed.insert((channel, sequence), after);
        self.put_change(channel, sequence, what);
    }

    /// Returns true when a webhook is there and its entry is this one.
    pub(super) fn lies_at(&self, channel: u32, sequence: u64, slot: Slot) -> bool {
        let found = self.state.channel(channel).and_then(|one| one.index.find(sequence));
        self.at(channel, sequence).is_some() && found.is_some_and(|wanted| wanted.slot == slot)
    }

    /// Ends the group with the counters of every channel it touched.
    pub(super) fn finish(&mut self) {
        for (channel, counters) in &self.counters {
            let name = self.state.channel(*channel).map(|one| one.name.clone()).unwrap_or_default();
            let item = Item::Channel { channel: *channel, name, counters: *counters };
            item.put(self.out, self.salt, self.segment);
            self.items.push(item);
        }
    }

    fn at(&self, channel: u32, sequence: u64) -> Option<(Place, Tries)> {
        if let Some(after) = self.changed.get(&(channel, sequence)) {
            return *after;
        }
        let index = &self.state.channel(channel)?.index;
        Some((index.place(sequence)?, index.find(sequence)?.tries))
    }

    /// Prepares the counters of a channel; its name comes before its first entry in a segment.
    fn touch(&mut self, channel: u32) {
        if self.counters.contains_key(&channel) {
            return;
        }
        let Some(one) = self.state.channel(channel) else { return };
        if !self.announced.contains(&channel) {
            let item = Item::Channel { channel, name: one.name.clone(), counters: one.counters };
            item.put(self.out, self.salt, self.segment);
            self.items.push(item);
        }
        self.counters.insert(channel, one.counters);
    }

    fn record(
        &mut self,
        kind: Kind,
        (channel, sequence): (u32, u64),
        weight: u32,
        payload: impl FnOnce(&mut BytesMut),
    ) {
        let (start, len) = entry::put(self.out, self.salt, (kind, channel, sequence), payload);
        let slot = Slot::new(self.segment, self.base + start as u64, len, weight);
        self.items.push(Item::Record { channel, sequence, slot, moved: kind == Kind::Moved });
    }

    fn put_change(&mut self, channel: u32, sequence: u64, what: What) {
        let item = Item::Change { channel, sequence, what };
        item.put(self.out, self.salt, self.segment);
        self.items.push(item);
    }
}
