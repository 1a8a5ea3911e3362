//! Runs cases and collects their verdicts.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::case::{Case, Failed, Verdict};
use crate::party::transport::Transport;
use crate::report::Line;
use crate::stand::{Buffer, Stand};

/// How long one case may take.
const MOST: Duration = Duration::from_secs(180);

/// Runs one case on one buffer over one transport, with receivers of its own.
pub async fn run_one(case: &Case, buffer: Buffer, transport: Transport, binary: PathBuf) -> Line {
    let line = Line::new(case, transport.name()).on(buffer.name());
    if let Some(why) = case.varies.excludes(transport) {
        line.skipped(why)
    } else if case.needs_durability && buffer == Buffer::Memory {
        line.skipped("a restart empties this buffer")
    } else {
        match Stand::new(binary, buffer) {
            Ok(stand) => judge(case, line, stand.over(transport), MOST).await,
            Err(Failed(why)) => line.with(Verdict::Failed(why)),
        }
    }
}

/// Runs one case on `stand`, for `most` at most, and fills in the line of the report. Cancelling ends the case.
pub async fn judge(case: &Case, line: Line, stand: Stand, most: Duration) -> Line {
    let began = Instant::now();
    let run = AssertUnwindSafe((case.run)(stand.clone())).catch_unwind();
    let failed = match tokio::time::timeout(most, run).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(Failed(why)))) => Some(why),
        Ok(Err(_)) => Some("the case panicked".to_owned()),
        Err(_) => Some(format!("the case took longer than {most:?}")),
    };
    let verdict = match (failed, stand.left_out()) {
        (Some(why), _) => {
            let evidence = stand.posted().evidence();
            Verdict::Failed([Some(why), evidence].into_iter().flatten().collect::<Vec<_>>().join("\n"))
        }
        (None, Some(why)) => Verdict::Skipped(why),
        (None, None) => Verdict::Passed,
    };
    line.noting(stand.notes()).took(began.elapsed()).with(verdict)
}
