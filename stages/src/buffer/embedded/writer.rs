//! The one thread that writes: a group at a time, then what gives room back.

use std::io;
use std::sync::Arc;

use engine::store::{Change, StoreError};
use tracing::debug;

use super::entry::HEADER;
use super::group::Group;
use super::index::Slot;
use super::log::{Log, Shared};
use super::queue::{Request, Work};
use super::reserve::Reserve;
use super::space::{self, Space};

/// Bytes a record takes beside what its webhook weighs, about.
const BESIDE: usize = HEADER + 128;

/// The writer and what it keeps.
pub(super) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    space: Space,
    reserve: Reserve,
}

/// What a request gets once its group is durable.
enum Done {
    Appended(Vec<u64>),
    Committed,
    /// Which of them were at the place they were found damaged at.
    Purged(Vec<(u64, Slot)>),
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (newest, used): (Option<(u32, u64)>, u32),
        segment_bytes: u64,
    ) -> Self {
        let log = Log::new(Arc::clone(&shared), (newest, used), segment_bytes);
        let space = Space::new(Arc::clone(&shared), segment_bytes);
        let reserve = Reserve::open(&*shared.disk, segment_bytes);
        Self { shared, log, space, reserve }
    }

    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _end = Abandon(Arc::clone(&self.shared));
        while let Some(requests) = self.shared.queue.gather(!self.space.is_busy()) {
            if !requests.is_empty() {
                self.serve(requests);
            }
            self.space.tidy(&mut self.log);
        }
        self.log.seal();
    }

    fn serve(&mut self, requests: Vec<Request>) {
        let error = match self.admit(&requests).and_then(|()| self.group(&requests)) {
            Ok(done) => {
                self.answer(requests, done);
                return self.reserve.restore(&*self.shared.disk);
            }
            Err(error) => error,
        };
        let (appends, rest): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_append);
        let mixed = !appends.is_empty();
        refuse(appends, &error);
        // Removals give room back, so they get the last of it.
        let room = !rest.is_empty() && is_full(&error) && self.reserve.release(&*self.shared.disk);
        match (room || mixed).then(|| self.group(&rest)) {
            None => refuse(rest, &error),
            Some(Ok(done)) => self.answer(rest, done),
            Some(Err(error)) => refuse(rest, &error),
        }
        if is_full(&error) {
            self.make_room();
        }
    }

    /// Gives the room of a segment back that is full of what was removed, although it has not reached its size.
    fn make_room(&mut self) {
        if !self.space.would_help(&self.log, self.reserve.bytes() / 2) {
            return;
        }
        self.reserve.release(&*self.shared.disk);
        if let Err(error) = self.space.press(&mut self.log) {
            debug!(%error, "no new segment can be begun on the full disk");
        }
    }

    /// Refuses appends while what was set aside for removals is not there again.
    fn admit(&mut self, requests: &[Request]) -> io::Result<()> {
        let owed = requests.iter().any(is_append) && self.reserve.is_owed(&*self.shared.disk);
        if owed { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn group(&mut self, requests: &[Request]) -> io::Result<Vec<Done>> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = requests.iter().map(|request| estimate(&request.work)).sum();
        self.log.commit(bytes, |group| requests.iter().map(|request| put(group, request)).collect())
    }

    fn answer(&self, requests: Vec<Request>, done: Vec<Done>) {
        for (request, done) in requests.into_iter().zip(done) {
            // Whoever waited may have gone away, which is its own business.
            match (request.work, done) {
                (Work::Append(_, reply), Done::Appended(sequences)) => drop(reply.send(Ok(sequences))),
                (Work::Commit(_, reply), _) => drop(reply.send(Ok(()))),
                (Work::Damaged(_, reply), Done::Purged(purged)) => {
                    for (sequence, slot) in purged {
                        space::note_damaged(&self.shared, request.channel, sequence, slot);
                    }
                    drop(reply);
                }
                (Work::Append(..) | Work::Damaged(..), _) => {}
            }
        }
    }
}

fn is_append(request: &Request) -> bool {
    matches!(request.work, Work::Append(..))
}

fn put(group: &mut Group<'_>, request: &Request) -> Done {
    let channel = request.channel;
    match &request.work {
        Work::Append(webhooks, _) => Done::Appended(group.append(channel, webhooks)),
        Work::Commit(changes, _) => {
            changes.iter().for_each(|change| group.change(channel, change));
            Done::Committed
        }
        Work::Damaged(found, _) => {
            let still =
                found.iter().copied().filter(|(sequence, slot)| group.lies_at(channel, *sequence, *slot));
            let still: Vec<_> = still.collect();
            for (sequence, _) in &still {
                group.change(channel, &Change::Purge { sequence: *sequence });
            }
            Done::Purged(still)
        }
    }
}

fn estimate(work: &Work) -> usize {
    match work {
        Work::Append(webhooks, _) => webhooks.iter().map(|webhook| webhook.weight() + BESIDE).sum(),
        Work::Commit(changes, _) => changes.len() * 2 * HEADER,
        Work::Damaged(found, _) => found.len() * HEADER,
    }
}

fn refuse(requests: Vec<Request>, error: &io::Error) {
    for request in requests {
        let what = match request.work {
            Work::Append(..) => "append",
            Work::Commit(..) | Work::Damaged(..) => "commit",
        };
        let error = StoreError::Medium { what, error: error.to_string() };
        match request.work {
            Work::Append(_, reply) => drop(reply.send(Err(error))),
            Work::Commit(_, reply) => drop(reply.send(Err(error))),
            Work::Damaged(_, reply) => drop(reply),
        }
    }
}

/// Returns true when the disk has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Answers what waits when the writer ends, however it ends.
struct Abandon(Arc<Shared>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}
