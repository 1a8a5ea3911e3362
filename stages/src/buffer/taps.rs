//! Those who watch a channel.

use std::time::Duration;

use bytestring::ByteString;
use engine::tap::Feed;
use engine::webhook::{Transit, Webhook};

/// Those who watch one channel. The bound of its connections bounds them.
pub(super) struct Taps {
    channel: ByteString,
    ttl: Duration,
    feeds: Vec<Feed>,
}

impl Taps {
    pub(super) fn new(channel: ByteString, ttl: Duration) -> Self {
        Self { channel, ttl, feeds: Vec::new() }
    }

    pub(super) fn add(&mut self, feed: Feed) {
        self.feeds.retain(Feed::is_watched);
        self.feeds.push(feed);
    }

    /// Returns what will be shown once it is committed: nothing when nobody watches.
    pub(super) fn copies(&self, webhooks: &[Webhook]) -> Vec<Webhook> {
        if self.feeds.is_empty() { Vec::new() } else { webhooks.to_vec() }
    }

    /// Shows webhooks that were committed.
    pub(super) fn show(&mut self, webhooks: Vec<Webhook>, sequences: &[u64]) {
        if webhooks.is_empty() {
            return;
        }
        self.feeds.retain(Feed::is_watched);
        for (mut webhook, sequence) in webhooks.into_iter().zip(sequences) {
            let expires = webhook.head.received.checked_add(self.ttl);
            let channel = self.channel.clone();
            webhook.transit = Transit { channel, sequence: *sequence, attempt: 1, expires };
            self.feeds.iter().for_each(|feed| feed.push(&webhook));
        }
    }
}
