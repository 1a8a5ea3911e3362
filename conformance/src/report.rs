//! What came out, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::case::Verdict;

/// The verdicts of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// One line per case and buffer.
    pub lines: Vec<Line>,
}

/// The verdict of one case on one buffer.
#[derive(Clone, Debug)]
pub struct Line {
    /// The case's id.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The promises it proves.
    pub proves: &'static str,
    /// The buffer it ran on.
    pub buffer: &'static str,
    /// The transport it ran over.
    pub transport: &'static str,
    /// What came out.
    pub verdict: Verdict,
    /// Figures, and steps that were left out.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Returns true when nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.lines.iter().any(|line| matches!(line.verdict, Verdict::Failed(_)))
    }

    /// Returns the report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        self.lines.iter().map(Line::json).collect()
    }
}

impl Line {
    fn json(&self) -> Value {
        let (verdict, why) = match &self.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Failed(why) => ("failed", Some(why)),
            Verdict::Skipped(why) => ("skipped", Some(why)),
        };
        json!({
            "case": self.id, "title": self.title, "proves": self.proves, "buffer": self.buffer, "transport": self.transport,
            "verdict": verdict, "why": why, "notes": self.notes, "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, title, buffer, transport, seconds, .. } = self;
        match &self.verdict {
            Verdict::Passed => write!(f, "ok    {id} {buffer:<9} {transport:<20} {seconds:5.1} s  {title}")?,
            Verdict::Skipped(why) => {
                write!(f, "skip  {id} {buffer:<9} {transport:<20}          {title}: {why}")?
            }
            Verdict::Failed(why) => {
                write!(f, "FAIL  {id} {buffer:<9} {transport:<20} {seconds:5.1} s  {title}\n      {why}")?
            }
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n      {note}"))
    }
}
