//! What became of each webhook that was handed out at least once and is not settled.
//!
//! Fresh webhooks need no entry here: their place in the store owns them. An entry's place says who owns it now: a timer
//! (`Waiting`), the queue for the next free session (`Due`), a session (`Flying`) or the dead letters (`Parked`, kept so
//! that a late acknowledgement still counts; the oldest of those are forgotten first).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::SystemTime;

use bytestring::ByteString;
use engine::store::Tries;
use engine::webhook::{Id, Webhook};
use tokio::time::Instant;

/// Parked webhooks whose late acknowledgement is still understood, per channel.
const REMEMBERED: usize = 10_000;

/// Who owns a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A timer, until this moment.
    Waiting(Instant),
    /// The queue for the next free session.
    Due,
    /// A session.
    Flying,
    /// The dead letters.
    Parked,
}

/// One webhook that was handed out before.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// What the log says of it; none until it was read again after a restart.
    pub(super) label: Option<Label>,
    /// When it was received.
    pub(super) received: SystemTime,
    /// How often it was handed out.
    pub(super) tries: Tries,
    place: Place,
    /// Since when no session that was there could carry it.
    unfit: Option<Instant>,
    /// When it was lost with its session and that was counted, last.
    lost: Option<Instant>,
}

/// What the log says of a webhook.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: Id,
    pub(super) webhook: ByteString,
    pub(super) bytes: usize,
}

impl Label {
    pub(super) fn of(webhook: &Webhook) -> Self {
        Self { id: webhook.id(), webhook: webhook.head.webhook.clone(), bytes: webhook.body.len() }
    }
}

/// Every webhook that was handed out before, by sequence.
#[derive(Default)]
pub(super) struct Tracked {
    tracks: HashMap<u64, Track>,
    by_id: HashMap<Id, u64>,
    timers: BTreeSet<(Instant, u64)>,
    due: BTreeSet<u64>,
    parked: VecDeque<u64>,
    /// Those that no session that was there could carry.
    unfit: BTreeSet<u64>,
    flying: u64,
}

impl Tracked {
    /// Returns how many are with sessions.
    pub(super) fn flying(&self) -> u64 {
        self.flying
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Track> {
        self.tracks.get(&sequence)
    }

    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        self.tracks.get(&sequence).map(|track| track.place)
    }

    pub(super) fn find(&self, id: Id) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    /// Puts a webhook that the store had deferred under a timer.
    pub(super) fn recover(&mut self, sequence: u64, received: SystemTime, tries: Tries, until: Instant) {
        let track = Track { label: None, received, tries, place: Place::Due, unfit: None, lost: None };
        self.tracks.insert(sequence, track);
        self.put(sequence, Place::Waiting(until));
    }

    /// Notes that `webhook` went to a session.
    pub(super) fn fly(&mut self, sequence: u64, webhook: &Webhook, tries: Tries) {
        let label = Label::of(webhook);
        self.by_id.insert(label.id, sequence);
        let received = webhook.head.received;
        let lost = self.lost(sequence);
        let track = Track { label: Some(label), received, tries, place: Place::Due, unfit: None, lost };
        self.leave(sequence);
        self.unfit.remove(&sequence);
        self.tracks.insert(sequence, track);
        self.put(sequence, Place::Flying);
    }

    /// Moves a webhook to another owner.
    pub(super) fn put(&mut self, sequence: u64, place: Place) {
        self.leave(sequence);
        let Some(track) = self.tracks.get_mut(&sequence) else { return };
        track.place = place;
        match place {
            Place::Waiting(until) => {
                self.timers.insert((until, sequence));
            }
            Place::Due => {
                self.due.insert(sequence);
            }
            Place::Flying => self.flying += 1,
            Place::Parked => {
                self.parked.push_back(sequence);
                if self.parked.len() > REMEMBERED {
                    self.forget_oldest_parked();
                }
            }
        }
    }

    pub(super) fn set_tries(&mut self, sequence: u64, tries: Tries) {
        if let Some(track) = self.tracks.get_mut(&sequence) {
            track.tries = tries;
        }
    }

    /// Returns when a webhook was lost with its session and that was counted, last.
    pub(super) fn lost(&self, sequence: u64) -> Option<Instant> {
        self.tracks.get(&sequence).and_then(|track| track.lost)
    }

    /// Notes that a webhook was lost with its session now and that this is counted.
    pub(super) fn set_lost(&mut self, sequence: u64) {
        if let Some(track) = self.tracks.get_mut(&sequence) {
            track.lost = Some(Instant::now());
        }
    }

    /// Returns since when no session that was there could carry a webhook.
    pub(super) fn unfit(&self, sequence: u64) -> Option<Instant> {
        self.tracks.get(&sequence).and_then(|track| track.unfit)
    }

    /// Notes since when no session that was there could carry a webhook.
    pub(super) fn set_unfit(&mut self, sequence: u64, since: Option<Instant>) {
        if let Some(track) = self.tracks.get_mut(&sequence) {
            track.unfit = since;
            if since.is_some() {
                self.unfit.insert(sequence);
            } else {
                self.unfit.remove(&sequence);
            }
        }
    }

    /// Offers those again that no session could carry: another one has come.
    pub(super) fn reconsider(&mut self) {
        let all: Vec<u64> = self.unfit.iter().copied().collect();
        for sequence in all {
            if matches!(self.place(sequence), Some(Place::Waiting(_))) {
                self.put(sequence, Place::Due);
            }
        }
    }

    /// Forgets since when webhooks could not be carried: nobody is there at all.
    pub(super) fn forget_unfit(&mut self) {
        self.reconsider();
        for sequence in std::mem::take(&mut self.unfit) {
            if let Some(track) = self.tracks.get_mut(&sequence) {
                track.unfit = None;
            }
        }
    }

    /// Forgets a settled webhook.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<Track> {
        self.leave(sequence);
        self.unfit.remove(&sequence);
        let track = self.tracks.remove(&sequence)?;
        if let Some(label) = &track.label {
            self.by_id.remove(&label.id);
        }
        Some(track)
    }

    /// Returns when the next timer ends.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(until, _)| *until)
    }

    /// Moves every webhook whose timer has ended to the queue for the next free session.
    pub(super) fn ring(&mut self, now: Instant) {
        while let Some((until, sequence)) = self.timers.first().copied()
            && until <= now
        {
            self.put(sequence, Place::Due);
        }
    }

    /// Returns the first `max` webhooks that wait for a session, in order.
    pub(super) fn due(&self, max: usize) -> Vec<u64> {
        self.due.iter().take(max).copied().collect()
    }

    /// Returns true when some webhook waits for a session.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Returns the waiting or due webhook with the lowest sequence.
    pub(super) fn oldest_idle(&self) -> Option<u64> {
        let timer = self.timers.iter().map(|(_, sequence)| *sequence).min();
        self.due.first().copied().into_iter().chain(timer).min()
    }

    /// Returns when the oldest webhook arrived that is not in the dead letters.
    pub(super) fn oldest_received(&self) -> Option<SystemTime> {
        let live = self.tracks.values().filter(|track| track.place != Place::Parked);
        live.map(|track| track.received).min()
    }

    /// Takes a webhook from its owner; the caller gives it the next one.
    fn leave(&mut self, sequence: u64) {
        let Some(place) = self.place(sequence) else { return };
        match place {
            Place::Waiting(until) => {
                self.timers.remove(&(until, sequence));
            }
            Place::Due => {
                self.due.remove(&sequence);
            }
            Place::Flying => self.flying -= 1,
            Place::Parked => {}
        }
        if let Some(track) = self.tracks.get_mut(&sequence) {
            track.place = Place::Due;
        }
    }

    fn forget_oldest_parked(&mut self) {
        if let Some(oldest) = self.parked.pop_front()
            && self.place(oldest) == Some(Place::Parked)
        {
            self.remove(oldest);
        }
    }
}
