//! What came out, for people and for programs.

mod human;
mod json;
mod junit;

use std::time::Duration;

use crate::case::{Case, Verdict};

/// The verdicts of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was checked, in a few words.
    pub subject: String,
    /// One line per case and transport.
    pub lines: Vec<Line>,
    /// How long all of it took.
    pub took: Duration,
}

/// The verdict of one case.
#[derive(Clone, Debug)]
pub struct Line {
    /// The case's id.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The promises it proves.
    pub proves: &'static str,
    /// The buffer it ran on; none when it is not known.
    pub buffer: Option<&'static str>,
    /// The transport it ran over; none when it varies over none.
    pub transport: Option<&'static str>,
    /// What came out.
    pub verdict: Verdict,
    /// Figures, and steps that were left out.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// How many cases came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that hold.
    pub passed: usize,
    /// Those that do not.
    pub failed: usize,
    /// Those that mean nothing here.
    pub skipped: usize,
}

impl Report {
    /// Returns how many cases came out how.
    #[must_use]
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for line in &self.lines {
            match line.verdict {
                Verdict::Passed => count.passed += 1,
                Verdict::Failed(_) => count.failed += 1,
                Verdict::Skipped(_) => count.skipped += 1,
            }
        }
        count
    }

    /// Returns true when nothing failed and something passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        let count = self.count();
        count.failed == 0 && count.passed > 0
    }
}

impl Line {
    /// Begins the line of a case.
    #[must_use]
    pub fn new(case: &Case, transport: impl Into<Option<&'static str>>) -> Self {
        let Case { id, title, proves, .. } = *case;
        let (notes, took) = (Vec::new(), Duration::ZERO);
        Self {
            id,
            title,
            proves,
            buffer: None,
            transport: transport.into(),
            verdict: Verdict::Passed,
            notes,
            took,
        }
    }

    /// Names the buffer.
    #[must_use]
    pub fn on(mut self, buffer: &'static str) -> Self {
        self.buffer = Some(buffer);
        self
    }

    /// Adds what was noted.
    #[must_use]
    pub fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// Adds one more note.
    #[must_use]
    pub fn noting_one(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// Says how long it took.
    #[must_use]
    pub fn took(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }

    /// Says what came out.
    #[must_use]
    pub fn with(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Says that the case means nothing here, and why.
    #[must_use]
    pub fn skipped(self, why: impl Into<String>) -> Self {
        self.with(Verdict::Skipped(why.into()))
    }
}
