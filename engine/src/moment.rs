//! Times as people and the reference write them: ISO 8601 in UTC with microseconds, such as `2026-11-23T12:32:12.538246+00:00`.

use std::time::SystemTime;

use crate::webhook::{from_micros, to_micros};

const DAY: u64 = 86_400;

/// The first second that has no year of four digits.
const TOO_LATE: u64 = 253_402_300_800;

/// Writes a time.
#[must_use]
pub fn to_text(time: SystemTime) -> String {
    let micros = to_micros(time);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = civil(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}+00:00")
}

/// Reads a time in UTC, with or without a fraction. Anything else is none.
#[must_use]
pub fn from_text(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix("+00:00").or_else(|| text.strip_suffix('Z'))?;
    let (date, time) = text.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let plausible = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_fraction = fraction.len() <= 9 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !plausible || hour > 23 || minute > 59 || second > 60 || !is_fraction {
        return None;
    }
    let seconds = days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second;
    if seconds >= TOO_LATE {
        return None;
    }
    let digits = &format!("{fraction:0<6}")[..6];
    Some(from_micros(seconds * 1_000_000 + digits.parse::<u64>().ok()?))
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let short = part.len() <= 4 && part.bytes().all(|digit| digit.is_ascii_digit());
        short.then(|| part.parse().ok()).flatten()
    });
    let all = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// Returns how many days after 1970-01-01 a day is. Years are counted from March, so that a leap day is the last of its
/// year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

/// Returns year, month and day of the `days`-th day after 1970-01-01.
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
            assert_eq!(to_text(from_micros(micros)), text);
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for micros in [0, 951_782_400_000_000, 1_700_000_000_123_456, 4_107_542_399_000_001] {
            assert_eq!(from_text(&to_text(from_micros(micros))), Some(from_micros(micros)));
        }
        assert_eq!(to_text(from_micros(1_700_000_000_123_456)), "2023-11-14T22:13:20.123456+00:00");
        assert_eq!(from_text("2023-11-14T22:13:20Z"), Some(from_micros(1_700_000_000_000_000)));
    }

    #[test]
    fn text_that_is_no_time_is_none() {
        for text in [
            "",
            "T",
            "2023-11-14",
            "2023-13-14T00:00:00Z",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13:20.é+00:00",
            "9999-12-31T23:59:60Z",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_fraction_that_is_no_number_is_refused_whatever_its_characters() {
        for fraction in ["12é45", "ééééé", "+12345", "1234567890"] {
            assert_eq!(from_text(&format!("2026-11-23T12:32:12.{fraction}+00:00")), None, "{fraction}");
        }
    }
}
