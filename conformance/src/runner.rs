//! Runs cases and collects their verdicts.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::case::{Case, Failed, Varies, Verdict};
use crate::party::connector::Transport;
use crate::report::{Line, Report};
use crate::stand::{Buffer, Stand};

/// How long one case may take.
const MOST: Duration = Duration::from_secs(180);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary under test.
    pub binary: PathBuf,
    /// The buffers to vary over.
    pub buffers: Vec<Buffer>,
    /// The ids of the cases; empty means all.
    pub cases: Vec<String>,
}

/// Runs cases one after the other, each on every buffer.
pub async fn run(options: &Options) -> Report {
    let mut lines = Vec::new();
    for case in crate::cases::all() {
        if options.cases.is_empty() || options.cases.iter().any(|id| id == case.id) {
            for buffer in &options.buffers {
                for transport in Transport::ALL {
                    // What is not varied runs once.
                    if case.varies != Varies::No || transport == Transport::WebSocket {
                        lines.push(run_one(&case, *buffer, transport, options.binary.clone()).await);
                    }
                }
            }
        }
    }
    Report { lines }
}

/// Runs one case on one buffer over one transport.
pub async fn run_one(case: &Case, buffer: Buffer, transport: Transport, binary: PathBuf) -> Line {
    let began = Instant::now();
    let (verdict, notes) = if let Some(why) = case.varies.excludes(transport) {
        (Verdict::Skipped(why.to_owned()), Vec::new())
    } else if case.needs_durability && buffer == Buffer::Memory {
        (Verdict::Skipped("a restart empties this buffer".to_owned()), Vec::new())
    } else {
        match Stand::new(binary, buffer) {
            Ok(stand) => {
                let stand = stand.over(transport);
                (judge(case, stand.clone()).await, stand.notes())
            }
            Err(Failed(why)) => (Verdict::Failed(why), Vec::new()),
        }
    };
    Line {
        id: case.id,
        title: case.title,
        proves: case.proves,
        buffer: buffer.name(),
        transport: transport.name(),
        verdict,
        notes,
        seconds: began.elapsed().as_secs_f64(),
    }
}

async fn judge(case: &Case, stand: Stand) -> Verdict {
    let run = AssertUnwindSafe((case.run)(stand)).catch_unwind();
    match tokio::time::timeout(MOST, run).await {
        Ok(Ok(Ok(()))) => Verdict::Passed,
        Ok(Ok(Err(Failed(why)))) => Verdict::Failed(why),
        Ok(Err(_)) => Verdict::Failed("the case panicked".to_owned()),
        Err(_) => Verdict::Failed(format!("the case took longer than {MOST:?}")),
    }
}
