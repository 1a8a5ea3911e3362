//! Runs one pipeline, and opens it again when it ended early.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::open::{Halt, OpenStage, Opened, Surroundings};
use super::told;
use crate::backoff::Backoff;
use crate::chance::Chance;
use crate::config::Faults;
use crate::graph::check::check;
use crate::graph::draft::Draft;
use crate::kind::{OpenError, Role};

/// How long to wait before a pipeline that ended early is opened again.
const REOPEN: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));

/// A pipeline that ran as long as this starts its backoff anew.
const STABLE: Duration = Duration::from_secs(60);

/// Runs one pipeline until it is told to stop, opening it again when it ends early. It begins once `before` have ended:
/// two pipelines never have the same buffer.
pub(super) async fn supervise(opened: Opened, surroundings: Surroundings, before: Vec<CancellationToken>) {
    let halt = opened.halt.clone();
    let (mut everything, mut own) = (surroundings.stop.clone(), halt.stop.subscribe());
    for ended in before {
        tokio::select! {
            biased;
            () = told(&mut everything) => return,
            () = told(&mut own) => return,
            () = ended.cancelled() => {}
        }
    }
    let mut random = Chance::of(&surroundings.resources).generator(&opened.name);
    let mut tries = 0;
    let mut next = Some(opened);
    let mut _lasting;
    while let Some(opened) = next.take() {
        // What the one before kept drops when the same is kept anew.
        _lasting = opened.lasting.clone();
        let (name, drafts) = (opened.name.clone(), opened.drafts.clone());
        let began = Instant::now();
        let early = run(opened, &surroundings).await;
        if *halt.stop.borrow() {
            return;
        }
        tries = if began.elapsed() > STABLE { 1 } else { tries + 1 };
        error!(pipeline = name, stage = %early.stage, error = early.why, "a stage ended early; its pipeline is opened again");
        next = reopen(&name, &drafts, &halt, &surroundings, &mut tries, &mut random).await;
    }
}

/// Opens a pipeline again, for ever. None when it is told to stop.
async fn reopen(
    name: &str,
    drafts: &[Draft],
    halt: &Halt,
    surroundings: &Surroundings,
    tries: &mut u32,
    random: &mut StdRng,
) -> Option<Opened> {
    let (mut everything, mut own) = (surroundings.stop.clone(), halt.stop.subscribe());
    loop {
        tokio::select! {
            biased;
            () = told(&mut everything) => return None,
            () = told(&mut own) => return None,
            () = tokio::time::sleep(REOPEN.wait(*tries, random)) => {}
        }
        match open_again(drafts, halt, surroundings).await {
            Ok(opened) => {
                info!(pipeline = name, "the pipeline is open again");
                return Some(opened);
            }
            Err(error) => {
                warn!(pipeline = name, %error, "the pipeline cannot be opened again yet");
                *tries = tries.saturating_add(1);
            }
        }
    }
}

async fn open_again(drafts: &[Draft], halt: &Halt, surroundings: &Surroundings) -> Result<Opened, OpenError> {
    let plans = check(drafts.to_vec(), &surroundings.kinds, &mut Faults::default());
    let plan = plans.and_then(|plans| plans.into_iter().next()).ok_or_else(|| OpenError {
        what: "the pipeline's configuration was sound and is not any more".to_owned(),
        help: None,
    })?;
    Opened::with(plan, surroundings, halt.clone()).await
}

/// The stage that ended first, and why.
struct Early {
    stage: Arc<str>,
    why: String,
}

/// Runs every stage as a task. Told to stop, they end from the source on, and the last one is waited for. When one fails,
/// or the time for finishing is over, all others are cut off; a buffer gets back what they held and ends by itself, so
/// that nothing of it is still being written when it is opened again.
async fn run(opened: Opened, surroundings: &Surroundings) -> Early {
    let Opened { name, stages, halt, cut, .. } = opened;
    let mut last = Early { stage: name.into(), why: "it has no stages".to_owned() };
    let (mut tasks, others) = spawn(stages);
    let mut everything = surroundings.stop.clone();
    let (mut failed, mut is_cut) = (false, false);
    loop {
        let ended = tokio::select! {
            biased;
            ended = tasks.join_next() => ended,
            () = told(&mut everything), if !*halt.stop.borrow() => {
                halt.stop.send_replace(true);
                continue;
            }
            () = cut.cancelled(), if !is_cut => {
                is_cut = true;
                others.iter().for_each(AbortHandle::abort);
                continue;
            }
        };
        let Some(ended) = ended else { return last };
        if let Ok((stage, why)) = ended
            && !failed
        {
            failed = why.is_some();
            last = Early { stage, why: why.unwrap_or_else(|| "its work ended".to_owned()) };
        }
        if failed {
            cut.cancel();
        }
    }
}

type Tasks = JoinSet<(Arc<str>, Option<String>)>;

/// Spawns a task per stage, and returns the handles of those that are no buffers too.
fn spawn(stages: Vec<OpenStage>) -> (Tasks, Vec<AbortHandle>) {
    let (mut tasks, mut others) = (JoinSet::new(), Vec::new());
    for OpenStage { name, role, stage, wiring } in stages {
        let task = tasks.spawn(async move {
            let why = match AssertUnwindSafe(stage.run(wiring)).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            (name, why)
        });
        if role != Role::Buffer {
            others.push(task);
        }
    }
    (tasks, others)
}
