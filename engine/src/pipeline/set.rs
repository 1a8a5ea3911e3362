//! Every running pipeline of one process, and how a new configuration replaces some of them.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::open::{Halt, Opened, Surroundings};
use super::reload::Changes;
use super::supervisor::supervise;
use crate::graph::draft::Draft;
use crate::graph::plan::Plan;
use crate::kind::OpenError;

/// Every running pipeline of one process.
#[derive(Debug)]
pub struct Pipelines {
    surroundings: Surroundings,
    tasks: JoinSet<()>,
    wanted: Vec<Wanted>,
    /// Those that were told to end and may not have ended yet.
    ending: Vec<CancellationToken>,
}

/// A pipeline of the configuration in force.
#[derive(Debug)]
struct Wanted {
    name: String,
    drafts: Vec<Draft>,
    halt: Halt,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

impl Pipelines {
    /// Starts to run `pipelines`. Dropping the value ends them all at once; what they held is redelivered.
    #[must_use]
    pub fn run(pipelines: Vec<Opened>, surroundings: &Surroundings) -> Self {
        let mut set = Self {
            surroundings: surroundings.clone(),
            tasks: JoinSet::new(),
            wanted: Vec::with_capacity(pipelines.len()),
            ending: Vec::new(),
        };
        pipelines.into_iter().for_each(|opened| set.start(opened));
        set
    }

    /// Replaces what runs by `plans`. Pipelines that are equal run on. The others are opened first; then those they
    /// replace are told to end, have `grace` to finish what they hold and give back the rest; then the new ones begin.
    /// Returns once that has been told, which is before it is done. Must not be cancelled.
    ///
    /// # Errors
    /// A stage cannot be opened; everything runs on as it was.
    pub async fn replace(&mut self, plans: Vec<Plan>, grace: Duration) -> Result<Changes, OpenError> {
        let (kept, new) = self.compare(plans);
        let opened = Opened::all(new, &self.surroundings).await?;
        let mut kept = kept.into_iter();
        let (keep, end): (Vec<Wanted>, Vec<Wanted>) =
            std::mem::take(&mut self.wanted).into_iter().partition(|_| kept.next().unwrap_or(false));
        let changes = changes(&keep, &end, &opened);
        self.wanted = keep;
        self.ending.retain(|ended| !ended.is_cancelled());
        for Wanted { halt, ended, .. } in end {
            halt.stop.send_replace(true);
            self.ending.push(ended.clone());
            self.tasks.spawn(async move {
                if tokio::time::timeout(grace, ended.cancelled()).await.is_err() {
                    halt.cut.cancel();
                }
            });
        }
        opened.into_iter().for_each(|opened| self.start(opened));
        // Their results are their ends.
        while self.tasks.try_join_next().is_some() {}
        Ok(changes)
    }

    /// Tells what [`Pipelines::replace`] would change, without opening anything.
    #[must_use]
    pub fn would_change(&self, plans: Vec<Plan>) -> Changes {
        let (kept, new) = self.compare(plans);
        let (keep, end): (Vec<_>, Vec<_>) = self.wanted.iter().zip(kept).partition(|(_, kept)| *kept);
        let ended: Vec<&str> = end.iter().map(|(wanted, _)| wanted.name.as_str()).collect();
        named(keep.len(), &ended, &new.iter().map(Plan::name).collect::<Vec<_>>())
    }

    /// Waits until every pipeline has ended, which they do after `stop` became true. Cancelling loses nothing.
    pub async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Tells which of the running pipelines are among `plans`, and which plans are not among the running ones.
    fn compare(&self, plans: Vec<Plan>) -> (Vec<bool>, Vec<Plan>) {
        let mut kept = vec![false; self.wanted.len()];
        let mut new = Vec::new();
        for plan in plans {
            let equal = self.wanted.iter().zip(&kept).position(|(wanted, kept)| {
                !kept
                    && wanted.drafts.len() == plan.drafts.len()
                    && wanted.drafts.iter().zip(&plan.drafts).all(|(one, other)| one.runs_like(other))
            });
            match equal.and_then(|at| kept.get_mut(at)) {
                Some(kept) => *kept = true,
                None => new.push(plan),
            }
        }
        (kept, new)
    }

    fn start(&mut self, opened: Opened) {
        let ended = CancellationToken::new();
        self.wanted.push(Wanted {
            name: opened.name.clone(),
            drafts: opened.drafts.clone(),
            halt: opened.halt.clone(),
            ended: ended.clone(),
        });
        let (surroundings, before) = (self.surroundings.clone(), self.ending.clone());
        self.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            supervise(opened, surroundings, before).await;
        });
    }
}

fn changes(keep: &[Wanted], end: &[Wanted], opened: &[Opened]) -> Changes {
    let ended: Vec<&str> = end.iter().map(|wanted| wanted.name.as_str()).collect();
    named(keep.len(), &ended, &opened.iter().map(|opened| opened.name.as_str()).collect::<Vec<_>>())
}

fn named(unchanged: usize, ended: &[&str], begun: &[&str]) -> Changes {
    let of = |names: &[&str], wanted: &dyn Fn(&str) -> bool| {
        names.iter().filter(|name| wanted(name)).map(|name| (*name).to_owned()).collect()
    };
    Changes {
        added: of(begun, &|name| !ended.contains(&name)),
        changed: of(begun, &|name| ended.contains(&name)),
        removed: of(ended, &|name| !begun.contains(&name)),
        unchanged,
        needs_restart: Vec::new(),
    }
}
