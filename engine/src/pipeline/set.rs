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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use futures::future::BoxFuture;
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;
    use tokio::sync::watch;

    use super::super::tests::Nowhere;
    use super::*;
    use crate::config::{Faults, Node, Pointer};
    use crate::graph::check::check;
    use crate::graph::draft::From;
    use crate::kind::{Build, Context, Kind, Role, Stage, StageError, Wiring};

    const GRACE: Duration = Duration::from_secs(3);

    /// What the sources did, in its order.
    type Diary = Mutex<Vec<String>>;

    /// A source that ends when told, unless its settings say otherwise.
    #[derive(Clone, Deserialize, JsonSchema)]
    struct Source {
        is: String,
        #[serde(default)]
        hangs: bool,
        #[serde(default)]
        cannot_open: bool,
    }

    /// Writes its end into the diary, however it came.
    struct Running(String, Arc<Diary>);

    impl Drop for Running {
        fn drop(&mut self) {
            note(&self.1, &format!("{} ended", self.0));
        }
    }

    fn note(diary: &Diary, what: &str) {
        diary.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
    }

    fn diary(resources: &crate::kind::Resources) -> Arc<Diary> {
        resources.get_or_make("", || Ok::<_, OpenError>(Diary::default())).unwrap_or_default()
    }

    impl Build for Source {
        const NAME: &'static str = "source";
        const ROLE: Role = Role::Subscribe;

        async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
            if self.cannot_open {
                return Err(OpenError { what: "it is planted".to_owned(), help: None });
            }
            cx.lasting.keep(Running(format!("what {} kept", self.is), diary(&cx.resources)));
            Ok(Box::new(OpenSource { source: self, diary: diary(&cx.resources), stop: cx.stop.clone() }))
        }
    }

    struct OpenSource {
        source: Source,
        diary: Arc<Diary>,
        stop: watch::Receiver<bool>,
    }

    impl Stage for OpenSource {
        fn run(mut self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
            Box::pin(async move {
                note(&self.diary, &format!("{} began", self.source.is));
                let _running = Running(self.source.is.clone(), self.diary);
                drop(self.stop.wait_for(|stop| *stop).await);
                if self.source.hangs {
                    std::future::pending::<()>().await;
                }
                drop(wiring);
                Ok(())
            })
        }
    }

    /// A process whose pipelines have the names and the settings given.
    struct Process {
        pipelines: Pipelines,
        surroundings: Surroundings,
        _stop: watch::Sender<bool>,
    }

    type Settings = serde_json::Value;

    impl Process {
        async fn start(pipelines: &[(&str, Settings)]) -> Self {
            let (stop, stopped) = watch::channel(false);
            let kinds = [Kind::stage::<Source>(), Kind::destination::<Nowhere>()];
            let surroundings = Surroundings::new(kinds.into(), stopped);
            let opened = Opened::all(plans(pipelines, &surroundings), &surroundings).await.unwrap();
            let pipelines = Pipelines::run(opened, &surroundings);
            Self { pipelines, surroundings, _stop: stop }
        }

        async fn replace(&mut self, pipelines: &[(&str, Settings)]) -> Result<Changes, OpenError> {
            let plans = plans(pipelines, &self.surroundings);
            self.pipelines.replace(plans, GRACE).await
        }

        /// Waits a moment of paused time, so that everything that can go on has, and returns the diary.
        async fn after(&self, wait: Duration) -> Vec<String> {
            tokio::time::sleep(wait).await;
            std::mem::take(&mut *diary(&self.surroundings.resources).lock().unwrap())
        }
    }

    fn plans(pipelines: &[(&str, Settings)], surroundings: &Surroundings) -> Vec<Plan> {
        let draft = |name: String, module: &str, settings: &Settings, from| Draft {
            name,
            module: module.to_owned(),
            settings: Node::new(settings.clone(), Pointer::root()),
            at: Pointer::root(),
            from,
        };
        let drafts = pipelines.iter().flat_map(|(name, settings)| {
            let source = format!("{name}.source");
            let from = vec![From::out(source.clone())];
            [
                draft(source, "source", settings, vec![]),
                draft((*name).to_owned(), "nowhere", &json!({}), from),
            ]
        });
        check(drafts.collect(), &surroundings.kinds, &mut Faults::default()).expect("the graph is sound")
    }

    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn equal_pipelines_run_on_and_new_ones_begin_when_those_before_have_ended() {
        let mut process = Process::start(&[
            ("a", json!({"is": "a"})),
            ("b", json!({"is": "b"})),
            ("c", json!({"is": "c"})),
        ])
        .await;
        assert_eq!(process.after(SHORT).await, ["a began", "b began", "c began"]);
        let wanted = [("a", json!({"is": "a"})), ("b", json!({"is": "b2"})), ("d", json!({"is": "d"}))];
        let changes = process.pipelines.would_change(plans(&wanted, &process.surroundings));
        assert_eq!(process.replace(&wanted).await.unwrap(), changes);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let Changes { added, changed, removed, unchanged, needs_restart } = changes;
        assert_eq!((added, changed, removed), (names(&["d"]), names(&["b"]), names(&["c"])));
        assert_eq!((unchanged, needs_restart.len()), (1, 0));
        let mut seen = process.after(SHORT).await;
        let began = seen.split_off(4);
        seen.sort();
        assert_eq!(seen, ["b ended", "c ended", "what b kept ended", "what c kept ended"]);
        assert_eq!(began, ["b2 began", "d began"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_that_cannot_be_opened_changes_nothing() {
        let mut process = Process::start(&[("a", json!({"is": "a"}))]).await;
        process.after(SHORT).await;
        let wanted = [("b", json!({"is": "b"})), ("c", json!({"is": "c", "cannot_open": true}))];
        let error = process.replace(&wanted).await.expect_err("c cannot be opened");
        assert_eq!(error.to_string(), "c.source: it is planted");
        assert_eq!(process.after(GRACE * 2).await, ["what b kept ended"]);
        assert_eq!(process.replace(&[("a", json!({"is": "a"}))]).await.unwrap().unchanged, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_that_does_not_end_is_cut_off_after_its_grace_and_not_before() {
        let mut process = Process::start(&[("a", json!({"is": "a", "hangs": true}))]).await;
        process.after(SHORT).await;
        process.replace(&[("a", json!({"is": "a2"}))]).await.unwrap();
        // It is replaced again before it began.
        process.replace(&[("a", json!({"is": "a3"}))]).await.unwrap();
        assert_eq!(process.after(GRACE - 2 * SHORT).await, ["what a2 kept ended"]);
        assert_eq!(process.after(3 * SHORT).await, ["a ended", "what a kept ended", "a3 began"]);
    }
}
