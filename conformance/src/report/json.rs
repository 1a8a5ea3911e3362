//! The report for programs.

use serde_json::{Value, json};

use super::{Count, Line, Report};
use crate::case::Verdict;

impl Report {
    /// Returns the report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let Count { passed, failed, skipped } = self.count();
        json!({
            "subject": self.subject,
            "passed": passed,
            "failed": failed,
            "skipped": skipped,
            "seconds": self.took.as_secs_f64(),
            "cases": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
        })
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
            "case": self.id, "title": self.title, "proves": self.proves, "transport": self.transport,
            "verdict": verdict, "why": why, "notes": self.notes, "seconds": self.took.as_secs_f64(),
        })
    }
}
