//! What the entries of the log say, apart from the webhooks themselves.
//!
//! The same items rebuild the state at opening, describe a group to the state once it is durable, and fill a segment's sidecar.

use bytes::{Buf, BufMut, BytesMut};
use engine::store::{ParkCause, Tries};

use super::entry::{self, Header, Kind, Salt};
use super::index::{Place, Slot};

/// The version of the layout, in the first entry of each segment.
pub(super) const VERSION: u16 = 1;

/// Channels at most; a larger number is damage.
const MAX_CHANNELS: u32 = 1 << 20;

/// One thing the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A segment begins. `previous` says which one was before it and up to where that one counts.
    Open { previous: Option<(u32, u64)> },
    /// A channel's name and its counters at this point.
    Channel { channel: u32, name: String, counters: Counters },
    /// A webhook lies here.
    Record { channel: u32, sequence: u64, slot: Slot, moved: bool },
    /// A webhook's state changed.
    Change { channel: u32, sequence: u64, what: What },
}

/// How a webhook's state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Remove,
    /// `until` is in microseconds since 1970.
    Defer {
        tries: Tries,
        until: Option<u64>,
    },
    Park(Letter),
    Redrive,
    Purge,
}

/// What is known of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) cause: ParkCause,
    /// When it was parked, in microseconds since 1970.
    pub(super) at: u64,
    pub(super) tries: Tries,
    pub(super) reason: String,
}

/// The audit counters of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) dead_lettered: u64,
    pub(super) expired: u64,
    pub(super) dropped: u64,
    pub(super) purged: u64,
    pub(super) last_sequence: u64,
}

impl Counters {
    /// Counts what `what` does to a webhook at `place`. Returns false when it does nothing, so that it is left out.
    pub(super) fn count(&mut self, place: Option<Place>, what: &What) -> bool {
        match (place, what) {
            (None, _)
            | (Some(Place::Parked(_)), What::Defer { .. } | What::Park(_))
            | (Some(Place::Queued | Place::Deferred), What::Redrive) => return false,
            (Some(Place::Queued | Place::Deferred), What::Defer { .. }) => {}
            (Some(Place::Queued | Place::Deferred), What::Park(letter)) => *self.parked(letter.cause) += 1,
            (Some(place), What::Remove | What::Purge | What::Redrive) => {
                if let Place::Parked(cause) = place {
                    let parked = self.parked(cause);
                    *parked = parked.saturating_sub(1);
                }
                match what {
                    What::Remove => self.delivered += 1,
                    What::Purge => self.purged += 1,
                    What::Defer { .. } | What::Park(_) | What::Redrive => {}
                }
            }
        }
        true
    }

    pub(super) fn parked(&mut self, cause: ParkCause) -> &mut u64 {
        match cause {
            ParkCause::DeadLettered => &mut self.dead_lettered,
            ParkCause::Expired => &mut self.expired,
            ParkCause::Dropped => &mut self.dropped,
        }
    }

    pub(super) fn all(&self) -> [u64; 7] {
        let Self { accepted, delivered, dead_lettered, expired, dropped, purged, last_sequence } = *self;
        [accepted, delivered, dead_lettered, expired, dropped, purged, last_sequence]
    }

    pub(super) fn of(
        [accepted, delivered, dead_lettered, expired, dropped, purged, last_sequence]: [u64; 7],
    ) -> Self {
        Self { accepted, delivered, dead_lettered, expired, dropped, purged, last_sequence }
    }
}

impl Item {
    /// Appends the entry of any item but a webhook to `out`.
    pub(super) fn put(&self, out: &mut BytesMut, salt: Salt, segment: u32) {
        match self {
            Self::Open { previous } => {
                entry::put(out, salt, (Kind::Open, 0, u64::from(segment)), |out| {
                    out.put_u16(VERSION);
                    let (number, len) = previous.unwrap_or_default();
                    out.put_u8(u8::from(previous.is_some()));
                    out.put_u32(number);
                    out.put_u64(len);
                });
            }
            Self::Channel { channel, name, counters } => {
                entry::put(out, salt, (Kind::Channel, *channel, 0), |out| {
                    counters.all().into_iter().for_each(|n| out.put_u64(n));
                    out.put_slice(name.as_bytes());
                });
            }
            Self::Change { channel, sequence, what } => {
                entry::put(out, salt, (what.kind(), *channel, *sequence), |out| what.put(out));
            }
            // Written by whoever has its bytes.
            Self::Record { .. } => {}
        }
    }

    /// Reads what a sound entry says; none when it makes no sense. A webhook needs more than this: see `scan`.
    pub(super) fn read(header: &Header, payload: &[u8]) -> Option<Self> {
        let (channel, sequence) = (header.channel, header.sequence);
        if channel >= MAX_CHANNELS {
            return None;
        }
        let mut p = payload;
        let what = match header.kind {
            Kind::Open => {
                let version = p.try_get_u16().ok()?;
                let there = p.try_get_u8().ok()? == 1;
                let previous = (p.try_get_u32().ok()?, p.try_get_u64().ok()?);
                return (version == VERSION).then_some(Self::Open { previous: there.then_some(previous) });
            }
            Kind::Channel => {
                let mut all = [0; 7];
                for n in &mut all {
                    *n = p.try_get_u64().ok()?;
                }
                let name = String::from_utf8(p.to_vec()).ok()?;
                return Some(Self::Channel { channel, name, counters: Counters::of(all) });
            }
            Kind::Record | Kind::Moved => return None,
            kind @ (Kind::Remove | Kind::Defer | Kind::Park | Kind::Redrive | Kind::Purge) => {
                What::read(kind, p)?
            }
        };
        Some(Self::Change { channel, sequence, what })
    }
}

impl What {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Remove => Kind::Remove,
            Self::Defer { .. } => Kind::Defer,
            Self::Park(_) => Kind::Park,
            Self::Redrive => Kind::Redrive,
            Self::Purge => Kind::Purge,
        }
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Remove | Self::Redrive | Self::Purge => {}
            Self::Defer { tries, until } => {
                put_tries(*tries, out);
                out.put_u64(until.unwrap_or(u64::MAX));
            }
            Self::Park(letter) => {
                put_tries(letter.tries, out);
                out.put_u64(letter.at);
                out.put_u8(match letter.cause {
                    ParkCause::DeadLettered => 1,
                    ParkCause::Expired => 2,
                    ParkCause::Dropped => 3,
                });
                out.put_slice(letter.reason.as_bytes());
            }
        }
    }

    pub(super) fn read(kind: Kind, mut p: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::Remove => Self::Remove,
            Kind::Redrive => Self::Redrive,
            Kind::Purge => Self::Purge,
            Kind::Defer => {
                let tries = tries(&mut p)?;
                let until = p.try_get_u64().ok()?;
                Self::Defer { tries, until: (until != u64::MAX).then_some(until) }
            }
            Kind::Park => {
                let tries = tries(&mut p)?;
                let at = p.try_get_u64().ok()?;
                let cause = match p.try_get_u8().ok()? {
                    1 => ParkCause::DeadLettered,
                    2 => ParkCause::Expired,
                    3 => ParkCause::Dropped,
                    _ => return None,
                };
                Self::Park(Letter { cause, at, tries, reason: String::from_utf8(p.to_vec()).ok()? })
            }
            Kind::Open | Kind::Channel | Kind::Record | Kind::Moved => return None,
        })
    }
}

fn put_tries(tries: Tries, out: &mut BytesMut) {
    out.put_u32(tries.begun);
    out.put_u32(tries.counted);
}

fn tries(p: &mut &[u8]) -> Option<Tries> {
    Some(Tries { begun: p.try_get_u32().ok()?, counted: p.try_get_u32().ok()? })
}
