//! Says which segment is the newest, so that its absence is noticed: nothing else speaks of it.
//!
//! `number u32 │ crc32c u32`, big-endian, in a file that is written when a segment has its first group and never synced. One
//! that is missing, damaged or older than the log says nothing.

use tracing::debug;

use super::disk::Disk;

const NAME: &str = "newest";

/// Notes that segment `number` holds something.
pub(super) fn write(disk: &dyn Disk, number: u32) {
    let number = number.to_be_bytes();
    let bytes = [number, crc32c::crc32c(&number).to_be_bytes()].concat();
    if let Err(error) = disk.write(NAME, &bytes) {
        debug!(%error, "the newest segment could not be noted");
    }
}

/// Returns the newest segment that held something, as far as known.
pub(super) fn read(disk: &dyn Disk) -> Option<u32> {
    let bytes = disk.read_at(NAME, 0, 8).ok()?;
    let (number, sum) = (bytes.first_chunk::<4>()?, bytes.last_chunk::<4>()?);
    let is_sound = bytes.len() == 8 && crc32c::crc32c(number).to_be_bytes() == *sum;
    is_sound.then_some(u32::from_be_bytes(*number))
}
