//! Times as people and the reference write them.

use std::time::SystemTime;

use engine::webhook::to_micros;

const DAY: u64 = 86_400;

/// Writes `time` as ISO 8601 in UTC with microseconds, such as `2026-11-23T12:32:12.538246+00:00`.
pub(crate) fn iso(time: SystemTime) -> String {
    let micros = to_micros(time);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}+00:00")
}

/// Returns year, month and day of the `days`-th day after 1970-01-01. Years are counted from March, so that a leap day
/// is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::webhook::from_micros;

    #[test]
    fn known_times_are_written_right() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999+00:00"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000+00:00"),
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456+00:00"),
            (4_107_542_399_000_001, "2100-02-28T23:59:59.000001+00:00"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000+00:00"),
        ] {
            assert_eq!(iso(from_micros(micros)), text);
        }
    }
}
