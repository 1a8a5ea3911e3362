//! The report for people: a line per case, and the count.

use std::fmt;

use super::{Count, Line, Report};
use crate::case::Verdict;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let Count { passed, failed, skipped } = self.count();
        let seconds = self.took.as_secs_f64();
        writeln!(f)?;
        writeln!(f, "{}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.1} s", self.subject)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match &self.verdict {
            Verdict::Passed => ("ok", None),
            Verdict::Failed(why) => ("FAIL", Some(why)),
            Verdict::Skipped(why) => ("skip", Some(why)),
        };
        write!(f, "{word:<5} {:<7}", self.id)?;
        if let Some(buffer) = self.buffer {
            write!(f, " {buffer:<9}")?;
        }
        write!(f, " {:<20}", self.transport.unwrap_or("-"))?;
        match &self.verdict {
            Verdict::Passed | Verdict::Failed(_) => write!(f, " {:5.1} s", self.took.as_secs_f64())?,
            Verdict::Skipped(_) => write!(f, "       -")?,
        }
        write!(f, "  {}", self.title)?;
        let reasons = why.into_iter().flat_map(|why| why.lines());
        let notes = self.notes.iter().flat_map(|note| note.lines());
        reasons.chain(notes).try_for_each(|line| write!(f, "\n      {line}"))
    }
}
