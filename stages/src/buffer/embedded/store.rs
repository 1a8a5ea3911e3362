//! One channel of the folder as the driver sees it.

use std::collections::HashSet;
use std::sync::Arc;

use engine::store::{Change, Deferred, Limit, Loaded, Parked, Stats, Store, StoreError, Stored};
use engine::webhook::{Webhook, from_micros};
use tokio::sync::oneshot;

use super::Channel;
use super::fetch::{Fetched, fetch};
use super::index::Wanted;
use super::queue::Work;
use super::state;

/// Read for one answer at most, where the caller gives no bound in bytes.
const MOST_BYTES: usize = 16 << 20;

/// How often a read follows webhooks that are being moved.
const FOLLOWED: usize = 8;

impl Store for Channel {
    async fn append(&self, batch: Vec<Webhook>) -> Result<Vec<u64>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.handle.shared.queue.push(self.number, Work::Append(batch, reply)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn read(&self, mut after: u64, limit: Limit) -> Result<Vec<Stored>, StoreError> {
        loop {
            let wanted = self.with(|one| one.index.queued(after, limit)).unwrap_or_default();
            let Some(last) = wanted.last().map(|wanted| wanted.sequence) else { return Ok(Vec::new()) };
            let stored = self.fetch(wanted).await?;
            if !stored.is_empty() {
                return Ok(stored);
            }
            // All of them were damaged or have gone meanwhile.
            after = last;
        }
    }

    async fn load(&self, sequences: Vec<u64>, most: usize) -> Result<Loaded, StoreError> {
        let mut bytes = 0;
        let wanted: Vec<Wanted> = self.find(&sequences);
        let within = wanted.into_iter().enumerate().take_while(|(n, one)| {
            bytes += one.slot.weight as usize;
            *n == 0 || bytes <= most
        });
        let within: Vec<Wanted> = within.map(|(_, one)| one).collect();
        let looked_at: HashSet<u64> = within.iter().map(|one| one.sequence).collect();
        let stored = self.fetch(within).await?;
        let found: HashSet<u64> = stored.iter().map(|one| one.sequence).collect();
        let known = |n: &u64| !self.find(&[*n]).is_empty();
        let is_gone = |n: &u64| !found.contains(n) && (looked_at.contains(n) || !known(n));
        let gone = sequences.into_iter().filter(is_gone).collect();
        Ok(Loaded { stored, gone })
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.handle.shared.queue.push(self.number, Work::Commit(changes, reply)).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn deferred(&self) -> Result<Vec<Deferred>, StoreError> {
        let waiting = self.with(|one| one.index.deferred(0).map(|(n, one)| (n, *one)).collect::<Vec<_>>());
        let mut rest = waiting.unwrap_or_default().into_iter().peekable();
        let mut found = Vec::new();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let part: Vec<_> = std::iter::from_fn(|| {
                rest.next_if(|(_, one)| {
                    let fits = bytes == 0 || bytes + one.slot.weight as usize <= MOST_BYTES;
                    bytes += one.slot.weight as usize;
                    fits
                })
            })
            .collect();
            let wanted = part.iter().map(|(sequence, one)| Wanted {
                sequence: *sequence,
                slot: one.slot,
                tries: one.tries,
            });
            for stored in self.fetch(wanted.collect()).await? {
                let Ok(at) = part.binary_search_by_key(&stored.sequence, |(sequence, _)| *sequence) else {
                    continue;
                };
                let until = part[at].1.until.map(from_micros);
                let received = stored.webhook.head.received;
                found.push(Deferred { sequence: stored.sequence, tries: stored.tries, until, received });
            }
        }
        Ok(found)
    }

    async fn parked(&self, after: u64, max: usize) -> Result<Vec<Parked>, StoreError> {
        let letters = self.with(|one| {
            let mut bytes = 0;
            let within = one.index.parked(after).take(max).enumerate().take_while(|(n, (_, (slot, _)))| {
                bytes += slot.weight as usize;
                *n == 0 || bytes <= MOST_BYTES
            });
            within
                .map(|(_, (sequence, (slot, letter)))| (sequence, *slot, letter.clone()))
                .collect::<Vec<_>>()
        });
        let letters = letters.unwrap_or_default();
        let wanted = letters.iter().map(|(sequence, slot, letter)| Wanted {
            sequence: *sequence,
            slot: *slot,
            tries: letter.tries,
        });
        let stored = self.fetch(wanted.collect()).await?;
        let letter_of = |stored: Stored| {
            let at = letters.binary_search_by_key(&stored.sequence, |(sequence, ..)| *sequence).ok()?;
            let (_, _, letter) = &letters[at];
            let (cause, reason, at) = (letter.cause, letter.reason.clone(), from_micros(letter.at));
            Some(Parked { stored, cause, reason, at })
        };
        Ok(stored.into_iter().filter_map(letter_of).collect())
    }

    fn stats(&self) -> Stats {
        self.handle.shared.state().stats(self.number)
    }
}

impl Channel {
    fn with<T>(&self, look: impl FnOnce(&state::Channel) -> T) -> Option<T> {
        self.handle.shared.state().channel(self.number).map(look)
    }

    fn find(&self, sequences: &[u64]) -> Vec<Wanted> {
        let find = |one: &state::Channel| sequences.iter().filter_map(|n| one.index.find(*n)).collect();
        self.with(find).unwrap_or_default()
    }

    /// Reads webhooks on a thread that may block. Damaged ones are set aside and left out.
    async fn fetch(&self, mut wanted: Vec<Wanted>) -> Result<Vec<Stored>, StoreError> {
        let mut stored = Vec::new();
        for _ in 0..FOLLOWED {
            if wanted.is_empty() {
                break;
            }
            let (shared, number) = (Arc::clone(&self.handle.shared), self.number);
            let reading = tokio::task::spawn_blocking(move || fetch(&shared, number, &wanted)).await;
            let fetched = reading.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
            let Fetched { stored: found, damaged, moved } = fetched;
            stored.extend(found);
            if !damaged.is_empty() {
                self.set_aside(damaged).await;
            }
            wanted = self.find(&moved);
        }
        stored.sort_by_key(|one| one.sequence);
        Ok(stored)
    }

    /// Tells the writer what is damaged. If that cannot be committed now, it is found damaged again at the next read.
    async fn set_aside(&self, damaged: Vec<(u64, super::index::Slot)>) {
        let (reply, answer) = oneshot::channel();
        if self.handle.shared.queue.push(self.number, Work::Damaged(damaged, reply)).await.is_ok() {
            drop(answer.await);
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Medium { what: "read", error: error.to_string() }
}
