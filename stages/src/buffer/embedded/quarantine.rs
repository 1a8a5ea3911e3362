//! Sets damaged bytes aside and says so.

use engine::record::OVERHEAD;
use engine::webhook::Id;
use tracing::{debug, warn};

use super::disk::Disk;
use super::entry::{HEADER, Kind};
use super::scan::{parts, webhook_of};

/// Copied at most from one place.
const MOST: u64 = 64 << 20;

/// What is said of webhooks that are missing.
pub(super) const PURGED: &str = "unreadable webhooks count as purged";

/// What is said of a webhook that cannot be read.
pub(super) const DAMAGED: &str = "a damaged webhook was set aside and counts as purged";

/// Something that is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, in a sentence.
    pub what: &'static str,
    /// The segment's file; empty when it is about a channel as a whole.
    pub segment: String,
    /// Where in the segment, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The channel, when it is known.
    pub channel: String,
    /// The webhook's place in the channel, when it is known.
    pub sequence: Option<u64>,
    /// The webhook's id, when it is readable. It may be the damaged part.
    pub id: Option<Id>,
    /// How many webhooks it is about; 0 when that is not known, or none are lost.
    pub webhooks: u64,
}

impl Finding {
    /// Returns how many webhooks it says are lost: those that were accepted, did not go, and cannot be read. One that was
    /// found damaged itself is counted with its channel.
    #[must_use]
    pub fn lost(&self) -> u64 {
        if self.what == PURGED { self.webhooks } else { 0 }
    }

    /// Makes a finding about a segment as a whole.
    pub(super) fn of_segment(what: &'static str, segment: &str) -> Self {
        let (segment, channel) = (segment.to_owned(), String::new());
        Self { what, segment, offset: 0, bytes: 0, channel, sequence: None, id: None, webhooks: 0 }
    }

    /// Makes a finding about some webhooks of a channel.
    pub(super) fn of_channel(what: &'static str, channel: &str, webhooks: u64) -> Self {
        Self { channel: channel.to_owned(), webhooks, ..Self::of_segment(what, "") }
    }
}

/// A place of the log that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage<'a> {
    pub(super) segment: &'a str,
    pub(super) offset: u64,
    pub(super) len: u64,
    /// The channel and sequence of the webhook, when they are known.
    pub(super) webhook: Option<(u32, u64)>,
}

impl Damage<'_> {
    /// Copies the bytes into the folder `quarantine` and reports them. Returns none when they were reported before.
    pub(super) fn quarantine(&self, disk: &dyn Disk, channel: &str, what: &'static str) -> Option<Finding> {
        let Self { segment, offset, len, webhook } = *self;
        let copy = format!("quarantine/{}-{offset}.bin", segment.trim_end_matches(".log"));
        if disk.read_at(&copy, 0, 1).is_ok() {
            debug!(segment, offset, "damage that was reported before");
            return None;
        }
        let most = usize::try_from(len.min(MOST)).unwrap_or(usize::MAX);
        let bytes = disk.read_at(segment, offset, most).unwrap_or_default();
        let kept = disk.write(&copy, &bytes);
        let found = self.id(bytes);
        let id = found.map_or_else(|| "unreadable".to_owned(), |id| id.to_string());
        let sequence = webhook.map(|(_, sequence)| sequence);
        let error = kept.err().map(|error| format!("the copy could not be written: {error}"));
        warn!(segment, offset, bytes = len, channel, sequence, %id, copy, error, "{what}");
        let webhooks = u64::from(webhook.is_some());
        let (segment, channel) = (segment.to_owned(), channel.to_owned());
        Some(Finding { what, segment, offset, bytes: len, channel, sequence, id: found, webhooks })
    }

    /// Returns the message id. Under a sound header the id is read although the checksum does not fit: it may be the
    /// damaged part, which an operator can tell and a missing id would hide.
    fn id(&self, bytes: Vec<u8>) -> Option<Id> {
        if bytes.len() < HEADER + OVERHEAD {
            return None;
        }
        let moved = bytes[8] == Kind::Moved as u8;
        let (_, payload) = parts(moved, bytes::Bytes::from(bytes).slice(HEADER..))?;
        if self.webhook.is_some() {
            return payload.get(8..24)?.try_into().ok().map(Id);
        }
        // The header is damaged; what follows it vouches for itself up to its own length.
        let len = 8 + usize::try_from(u32::from_be_bytes(payload.get(..4)?.try_into().ok()?)).ok()?;
        (payload.len() >= len).then(|| webhook_of(payload.slice(..len)))?.map(|webhook| webhook.id())
    }
}
