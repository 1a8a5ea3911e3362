//! Runs pipelines and opens those again that ended early.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::config::Faults;
use crate::graph::check::check;
use crate::graph::draft::Draft;
use crate::kind::OpenError;
use crate::pipeline::open::{Opened, Surroundings};

/// How long to wait before a pipeline that ended early is opened again.
const REOPEN: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(30));

/// A pipeline that ran as long as this starts its backoff anew.
const STABLE: Duration = Duration::from_secs(60);

/// Every running pipeline of one process.
#[derive(Debug)]
pub struct Pipelines(JoinSet<()>);

impl Pipelines {
    /// Starts to run `pipelines`. Dropping the value ends them all at once; what they held is redelivered.
    #[must_use]
    pub fn run(pipelines: Vec<Opened>, surroundings: &Surroundings) -> Self {
        let mut tasks = JoinSet::new();
        for opened in pipelines {
            tasks.spawn(supervise(opened, surroundings.clone()));
        }
        Self(tasks)
    }

    /// Waits until every pipeline has ended, which they do after `stop` became true. Cancelling loses nothing.
    pub async fn ended(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

/// Runs one pipeline until it is told to stop, opening it again when it ends early.
async fn supervise(opened: Opened, surroundings: Surroundings) {
    let mut random = StdRng::from_os_rng();
    let mut tries = 0;
    let mut next = Some(opened);
    let stop = surroundings.stop.clone();
    while let Some(opened) = next.take() {
        let (name, drafts) = (opened.name.clone(), opened.drafts.clone());
        let began = Instant::now();
        let early = run(opened).await;
        if *stop.borrow() {
            return;
        }
        tries = if began.elapsed() > STABLE { 1 } else { tries + 1 };
        error!(pipeline = name, stage = %early.stage, error = early.why, "a stage ended early; its pipeline is opened again");
        next = reopen(&name, &drafts, &surroundings, &mut tries, &mut random).await;
    }
}

/// Opens a pipeline again, for ever. None when everything is told to stop.
async fn reopen(
    name: &str,
    drafts: &[Draft],
    surroundings: &Surroundings,
    tries: &mut u32,
    random: &mut StdRng,
) -> Option<Opened> {
    let mut stop = surroundings.stop.clone();
    loop {
        tokio::select! {
            biased;
            // Whoever could say stop is gone, which means the same.
            _ = stop.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(REOPEN.wait(*tries, random)) => {}
        }
        match open_again(drafts, surroundings).await {
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

async fn open_again(drafts: &[Draft], surroundings: &Surroundings) -> Result<Opened, OpenError> {
    let plans = check(drafts.to_vec(), &surroundings.kinds, &mut Faults::default());
    let plan = plans.and_then(|plans| plans.into_iter().next()).ok_or_else(|| OpenError {
        what: "the pipeline's configuration was sound and is not any more".to_owned(),
        help: None,
    })?;
    Opened::new(plan, surroundings).await
}

/// The stage that ended first, and why.
struct Early {
    stage: Arc<str>,
    why: String,
}

/// Runs every stage as a task. Told to stop, they end from the source on, and the last one is waited for; one that fails
/// takes the others with it.
async fn run(opened: Opened) -> Early {
    let mut tasks = JoinSet::new();
    let mut last = Early { stage: opened.name.as_str().into(), why: "it has no stages".to_owned() };
    let mut failed = false;
    for (name, stage, wiring) in opened.stages {
        tasks.spawn(async move {
            let why = match AssertUnwindSafe(stage.run(wiring)).catch_unwind().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            (name, why)
        });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Ok((stage, why)) = ended
            && !failed
        {
            failed = why.is_some();
            last = Early { stage, why: why.unwrap_or_else(|| "its work ended".to_owned()) };
        }
        if failed {
            tasks.abort_all();
        }
    }
    last
}
