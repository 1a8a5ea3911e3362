//! Rebuilds the state from the log when the store is opened. Changes nothing but sidecars and the quarantine.
//!
//! Everything sound is taken in, whether or not its group was finished: an unfinished group was never answered, and a
//! webhook that was refused may still arrive. So a torn end needs no telling apart from damage there: neither costs
//! more than what cannot be read. A segment counts up to where the next one says it ended; what a failed write left
//! behind that is not looked at.

use std::io;

use tracing::{info, warn};

use super::disk::Disk;
use super::entry::{Header, Salt};
use super::item::Item;
use super::marker;
use super::quarantine::{DAMAGED, Damage, Finding, PURGED};
use super::scan::{Found, Scan};
use super::sidecar::{self, Sidecar};
use super::state::{Segment, State};

/// A first group that was cut may be this long and have nothing sound: its opening, twice, is.
const LARGEST_OPENING: u64 = 256;

/// How far into a segment its opening entries are searched.
const HEAD: u64 = 4_096;

/// What is said of a torn end.
const TORN: &str = "the log ends in the middle of a write, which was never answered unless the file was cut";

/// What is said of a newest segment in which nothing is sound.
const UNREADABLE: &str = "nothing of the newest segment can be read; what it held is lost, and not counted";

/// What is said of the segment that nothing but its marker speaks of.
const NEWEST_GONE: &str = "the newest segment of the log is missing; what it held is lost, and not counted";

/// What is said of webhooks that are there and should not be.
const AGAIN: &str = "webhooks whose end cannot be read are queued again";

/// What was found on the disk.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: State,
    /// The newest segment and up to where it counts.
    pub(super) newest: Option<(u32, u64)>,
    /// The highest number that a segment has or had.
    pub(super) used: u32,
    /// What is wrong with the log, and was not reported before.
    pub(super) findings: Vec<Finding>,
}

/// A segment's file.
#[derive(Clone, Debug)]
struct File {
    number: u32,
    salt: Salt,
    name: String,
    len: u64,
    /// What its opening says of the segment before; none when the opening cannot be read.
    opening: Option<Option<(u32, u64)>>,
}

/// Returns the name of a segment's file.
pub(super) fn file_name(number: u32, salt: Salt) -> String {
    format!("{number:08x}-{:016x}.log", salt.0)
}

/// Returns the number and the salt in the name of a segment's file; none when it is no such name.
pub(super) fn parse_name(name: &str) -> Option<(u32, Salt)> {
    let (number, salt) = name.strip_suffix(".log")?.split_once('-')?;
    Some((u32::from_str_radix(number, 16).ok()?, Salt(u64::from_str_radix(salt, 16).ok()?)))
}

/// Reads everything there is.
///
/// # Errors
/// The folder or a file cannot be read.
pub(super) fn recover(disk: &dyn Disk) -> io::Result<Recovered> {
    let (files, left_behind) = files(disk)?;
    let mut recovered = Recovered::default();
    if let Some(newest) = files.last() {
        // What was written before a crash of the process alone need not be durable, and is about to be relied on.
        disk.sync(&newest.name)?;
    }
    for file in left_behind {
        // Holds nothing, so it goes with the oldest.
        let empty = Segment { salt: file.salt, len: 0, held: 0, held_bytes: 0 };
        recovered.state.segments.insert(file.number, empty);
    }
    let mut damages = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let next = files.get(at + 1);
        let said = next.and_then(|next| next.opening.flatten());
        if let Some((number, _)) = said
            && number != file.number
        {
            let what = "a segment of the log is missing; what it held is lost";
            warn!(segment = number, "{what}");
            recovered.findings.push(Finding::of_segment(what, &format!("{number:08x}")));
        }
        let end = said.filter(|(number, _)| *number == file.number).map(|(_, len)| len);
        let limit = end.unwrap_or(file.len).min(file.len);
        if end.is_some_and(|end| end > file.len) {
            let what = "a segment of the log was cut short";
            warn!(segment = file.name, bytes = file.len, expected = end, "{what}");
            recovered.findings.push(Finding::of_segment(what, &file.name));
        }
        let len = segment(disk, file, (limit, end.is_none()), &mut recovered, &mut damages)?;
        recovered.newest = Some((file.number, len));
    }
    let newest = recovered.newest.map_or(0, |(number, _)| number);
    recovered.used = newest.max(marker::read(disk).unwrap_or(0));
    if recovered.used > newest {
        warn!(segment = recovered.used, "{NEWEST_GONE}");
        recovered.findings.push(Finding::of_segment(NEWEST_GONE, &format!("{:08x}", recovered.used)));
    }
    report(disk, &mut recovered, &damages);
    reconcile(&mut recovered);
    Ok(recovered)
}

/// Returns the segments in order, and those which a failed write left behind: later ones pass them over.
fn files(disk: &dyn Disk) -> io::Result<(Vec<File>, Vec<File>)> {
    let mut files = Vec::new();
    for (name, len) in disk.list()? {
        if let Some((number, salt)) = parse_name(&name) {
            let opening = opening(disk, &name, number, salt, len)?;
            files.push(File { number, salt, name, len, opening });
        }
    }
    files.sort_by_key(|file: &File| std::cmp::Reverse(file.number));
    let mut counted: Vec<File> = Vec::new();
    let mut left_behind = Vec::new();
    for file in files {
        let before = counted.last().and_then(|newer| newer.opening.flatten());
        if before.is_some_and(|(number, _)| number < file.number) {
            left_behind.push(file);
        } else {
            counted.push(file);
        }
    }
    counted.reverse();
    Ok((counted, left_behind))
}

/// Returns what the first readable opening entry says; it stands there twice.
fn opening(
    disk: &dyn Disk,
    name: &str,
    number: u32,
    salt: Salt,
    len: u64,
) -> io::Result<Option<Option<(u32, u64)>>> {
    let mut scan = Scan::new(disk, name.to_owned(), number, salt, len.min(HEAD));
    while let Some(found) = scan.next()? {
        if let Found::Item(Item::Open { previous }) = found {
            return Ok(Some(previous));
        }
    }
    Ok(None)
}

/// Takes in one segment and returns up to where it counts.
fn segment<'a>(
    disk: &dyn Disk,
    file: &'a File,
    (limit, is_open_ended): (u64, bool),
    Recovered { state, findings, .. }: &mut Recovered,
    damages: &mut Vec<Damage<'a>>,
) -> io::Result<u64> {
    let empty = Segment { salt: file.salt, len: limit, held: 0, held_bytes: 0 };
    state.segments.insert(file.number, empty);
    if let Some(items) = sidecar::read(disk, &file.name, file.number, limit) {
        items.for_each(|item| state.replay(&item));
        return Ok(limit);
    }
    let mut made = Sidecar::default();
    let mut scan = Scan::new(disk, file.name.clone(), file.number, file.salt, limit);
    let mut len = limit;
    // Damage that nothing sound follows yet: it may turn out to be a torn end.
    let mut last: Vec<(u64, u64, Option<Header>)> = Vec::new();
    while let Some(found) = scan.next()? {
        match found {
            Found::Item(item) => {
                last.drain(..).for_each(|one| damages.push(damaged(file, one, state)));
                state.replay(&item);
                made.push(&item);
            }
            Found::Damaged { offset, len, record } => last.push((offset, len, record)),
            Found::Tail { offset, len } => last.push((offset, len, None)),
        }
    }
    if is_open_ended && let Some((offset, ..)) = last.first() {
        len = *offset;
        let tail = Damage { segment: &file.name, offset: len, len: limit - len, webhook: None };
        // A write is cut where it begins only when it was the first.
        let what = if len == 0 && limit > LARGEST_OPENING { UNREADABLE } else { TORN };
        findings.extend(tail.quarantine(disk, "", what));
    } else {
        last.drain(..).for_each(|one| damages.push(damaged(file, one, state)));
    }
    if let Some(segment) = state.segments.get_mut(&file.number) {
        segment.len = len;
    }
    made.write(disk, &file.name, len);
    Ok(len)
}

fn damaged<'a>(
    file: &'a File,
    (offset, len, record): (u64, u64, Option<Header>),
    state: &mut State,
) -> Damage<'a> {
    if let Some(header) = record {
        let moved = header.kind == super::entry::Kind::Moved;
        state.replay_damaged(header.channel, header.sequence, moved);
    }
    let webhook = record.map(|header| (header.channel, header.sequence));
    Damage { segment: &file.name, offset, len, webhook }
}

/// Sets aside what was found damaged, except webhooks that had gone before.
fn report(disk: &dyn Disk, Recovered { state, findings, .. }: &mut Recovered, damages: &[Damage<'_>]) {
    for damage in damages {
        let Some((number, sequence)) = damage.webhook else {
            findings.extend(damage.quarantine(disk, "", "a damaged entry of the log was set aside"));
            continue;
        };
        let Some(channel) = state.channels.get_mut(number as usize) else { continue };
        if channel.damaged.remove(&sequence)
            && let Some(finding) = damage.quarantine(disk, &channel.name, DAMAGED)
        {
            channel.quarantined += 1;
            findings.push(finding);
        }
    }
}

/// Makes the counters fit what is there. They always do, unless something was damaged: a webhook that cannot be read
/// counts as purged, and one whose removal cannot be read is back in the queue and not delivered any more.
fn reconcile(Recovered { state, findings, .. }: &mut Recovered) {
    for number in 0..u32::try_from(state.channels.len()).unwrap_or(u32::MAX) {
        let parked = state.channels[number as usize].index.parked_by_cause();
        let counters = &mut state.channels[number as usize].counters;
        for (cause, count) in parked {
            *counters.parked(cause) = count;
        }
        let missing = state.stats(number).imbalance();
        let channel = &mut state.channels[number as usize];
        let count = u64::try_from(missing.unsigned_abs()).unwrap_or(u64::MAX);
        if missing > 0 {
            channel.counters.purged += count;
            channel.quarantined = channel.quarantined.max(count);
            warn!(channel = channel.name, webhooks = count, "{PURGED}");
            findings.push(Finding::of_channel(PURGED, &channel.name, count));
        } else if missing < 0 {
            let back = count.min(channel.counters.delivered);
            channel.counters.delivered -= back;
            channel.counters.accepted += count - back;
            info!(channel = channel.name, webhooks = count, "{AGAIN}");
            findings.push(Finding::of_channel(AGAIN, &channel.name, count));
        }
    }
}
