//! The suite against a connector: any command that starts one. The suite plays the receiver and the destination.
//!
//! Each case has a receiver, a proxy before it and a destination of its own, so cases run side by side.

mod cases;
mod rig;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use crate::case::{Case, Failed, Verdict};
use crate::report::{Line, Report};
use crate::runner::judge;
use crate::stand::{Buffer, Stand};

/// Cases that run at the same time.
const AT_ONCE: usize = 4;

/// How long one case may take.
const MOST: Duration = Duration::from_secs(120);

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that is the receiver.
    pub binary: PathBuf,
    /// The command that starts the connector.
    pub command: String,
    /// The ids of the cases; empty means all.
    pub cases: Vec<String>,
}

/// Returns the ids of the cases.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    cases::CASES.iter().map(|case| case.id).collect()
}

/// Runs the suite. Cancelling ends what it started.
pub async fn run(options: &Options) -> Report {
    let began = Instant::now();
    let wanted =
        |id: &str| options.cases.is_empty() || options.cases.iter().any(|one| one.eq_ignore_ascii_case(id));
    let cases = cases::CASES.iter().filter(|case| wanted(case.id));
    let lines = stream::iter(cases).map(|case| run_one(case, options)).buffered(AT_ONCE).collect().await;
    Report { subject: options.command.clone(), lines, took: began.elapsed() }
}

async fn run_one(case: &Case, options: &Options) -> Line {
    let line = Line::new(case, None);
    match Stand::new(options.binary.clone(), Buffer::Embedded) {
        Ok(stand) => judge(case, line, stand.testing(&options.command), MOST).await,
        Err(Failed(why)) => line.with(Verdict::Failed(why)),
    }
}
