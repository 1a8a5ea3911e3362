//! Pipelines that open, fail to open, break and stop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::{Opened, Pipelines, Surroundings};
use crate::ack::Answer;
use crate::config::{Faults, Node, Pointer};
use crate::failure::Failure;
use crate::graph::check::check;
use crate::graph::draft::{Draft, From};
use crate::graph::plan::{Plan, Planned};
use crate::kind::{
    Build, Context, Destination, Gate, Kind, OpenError, Resources, Role, Sink, Stage, StageError, Wiring,
};
use crate::webhook::Webhook;

/// What happened, shared over all stages of one test.
#[derive(Debug, Default)]
struct Seen {
    opened: AtomicUsize,
    running: AtomicUsize,
}

fn seen(cx: &Context) -> Arc<Seen> {
    let made: Result<_, OpenError> = cx.resources.get_or_make("", || Ok(Seen::default()));
    made.unwrap_or_default()
}

/// A source that behaves as its settings say the first time it runs, and well ever after.
#[derive(Deserialize, JsonSchema)]
struct Source {
    first: First,
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
enum First {
    Well,
    Panics,
    Fails,
    CannotOpen,
}

struct Running {
    first: First,
    seen: Arc<Seen>,
    stop: watch::Receiver<bool>,
}

impl Build for Source {
    const NAME: &'static str = "source";
    const ROLE: Role = Role::Subscribe;

    async fn open(self, cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        if self.first == First::CannotOpen {
            return Err(OpenError { what: "the folder is in use".to_owned(), help: None });
        }
        let seen = seen(cx);
        let first = if seen.opened.fetch_add(1, Ordering::SeqCst) == 0 { self.first } else { First::Well };
        Ok(Box::new(Running { first, seen, stop: cx.stop.clone() }))
    }
}

impl Stage for Running {
    fn run(mut self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<(), StageError>> {
        Box::pin(async move {
            assert!(self.first != First::Panics, "planted");
            if self.first == First::Fails {
                return Err(StageError("planted".to_owned()));
            }
            self.seen.running.fetch_add(1, Ordering::SeqCst);
            // The sender of the signal lives in the test.
            drop(self.stop.wait_for(|stop| *stop).await);
            drop(wiring);
            Ok(())
        })
    }
}

/// A destination that takes everything.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Nowhere {}

pub(super) struct Nothing;

impl Destination for Nowhere {
    const NAME: &'static str = "nowhere";
    type Sink = Nothing;

    async fn open(self, _cx: &Context) -> Result<Nothing, OpenError> {
        Ok(Nothing)
    }
}

impl Sink for Nothing {
    async fn deliver(&self, _webhooks: &[Webhook]) -> Result<(), Failure> {
        Ok(())
    }
}

fn surroundings() -> (watch::Sender<bool>, Surroundings) {
    let (stop, stopped) = watch::channel(false);
    let kinds: Arc<[Kind]> = Arc::new([Kind::stage::<Source>(), Kind::destination::<Nowhere>()]);
    (stop, Surroundings::new(kinds, stopped))
}

async fn open(first: &str, surroundings: &Surroundings) -> Result<Opened, OpenError> {
    let draft = |name: &str, settings, from| Draft {
        name: name.to_owned(),
        module: name.to_owned(),
        settings: Node::new(settings, Pointer::root()),
        at: Pointer::root(),
        from,
    };
    let drafts = vec![
        draft("source", json!({ "first": first }), vec![]),
        draft("nowhere", json!({}), vec![From::out("source")]),
    ];
    let plans = check(drafts, &surroundings.kinds, &mut Faults::default());
    let plan = plans.and_then(|plans| plans.into_iter().next()).expect("the graph is sound");
    Opened::new(plan, surroundings).await
}

/// Runs a source that begins badly and returns how often it was opened once it runs well.
async fn opened_until_it_runs(first: &str) -> usize {
    let (stop, surroundings) = surroundings();
    let opened = open(first, &surroundings).await.expect("the source opens");
    let seen: Arc<Seen> =
        surroundings.resources.get_or_make("", || Ok::<_, OpenError>(Seen::default())).unwrap_or_default();
    let mut pipelines = Pipelines::run(vec![opened], &surroundings);
    while seen.running.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.send_replace(true);
    pipelines.ended().await;
    seen.opened.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_runs_until_it_is_told_to_stop() {
    assert_eq!(opened_until_it_runs("well").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_panics_or_fails_has_its_pipeline_opened_again() {
    assert_eq!(opened_until_it_runs("panics").await, 2);
    assert_eq!(opened_until_it_runs("fails").await, 2);
}

#[tokio::test]
async fn a_stage_that_cannot_be_opened_is_named() {
    let (_stop, surroundings) = surroundings();
    let error = open("cannot_open", &surroundings).await.expect_err("the source cannot be opened");
    assert_eq!(error.to_string(), "source: the folder is in use");
}

/// A gate that keeps its own name and that of its source alive.
#[derive(Deserialize, JsonSchema)]
struct Watchful {}

type Names = (&'static str, Arc<str>);
type Watched = Arc<Names>;

fn all_watched(resources: &Resources) -> Arc<Mutex<Vec<Weak<Names>>>> {
    resources.get_or_make("", || Ok::<_, OpenError>(Mutex::default())).unwrap_or_default()
}

impl Gate for Watchful {
    const NAME: &'static str = "watchful";
    const PROVES_SENDER: bool = true;

    fn open(&self, cx: &Context) {
        let watched: Watched = Arc::new((Self::NAME, Arc::clone(&cx.name)));
        all_watched(&cx.resources).lock().unwrap().push(Arc::downgrade(&watched));
        cx.lasting.keep(watched);
    }

    async fn admit(&self, _webhook: &Webhook) -> Result<(), Answer> {
        Ok(())
    }
}

/// Opens sources that each stand before a gate, and returns what the gates began and still keep.
async fn watched(sources: &[First]) -> (Result<Opened, OpenError>, impl Fn() -> Vec<String>) {
    let (_stop, surroundings) = surroundings();
    let planned = |(first, number): (&First, u32)| Planned {
        name: format!("source{number}").into(),
        role: Role::Subscribe,
        build: Box::new(Source { first: *first }),
        gates: vec![Arc::new(Watchful {})],
        channel: None,
        out: None,
        links: Vec::new(),
        exhausted: None,
    };
    let stages = sources.iter().zip(1..).map(planned).collect();
    let opened = Opened::new(Plan { stages, drafts: Vec::new() }, &surroundings).await;
    let kept = move || {
        let all = all_watched(&surroundings.resources);
        let all: Vec<Watched> = all.lock().unwrap().iter().filter_map(Weak::upgrade).collect();
        all.iter().map(|watched| format!("{} of {}", watched.0, watched.1)).collect()
    };
    (opened, kept)
}

#[tokio::test]
async fn a_gate_is_opened_with_its_source_and_what_it_began_ends_with_the_pipeline() {
    let (opened, kept) = watched(&[First::Well, First::Well]).await;
    let opened = opened.expect("the sources open");
    assert_eq!(kept(), ["watchful of source1", "watchful of source2"]);
    drop(opened);
    assert_eq!(kept(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_gate_began_ends_when_the_rest_cannot_be_opened() {
    let (opened, kept) = watched(&[First::Well, First::CannotOpen]).await;
    opened.expect_err("the second source cannot be opened");
    assert_eq!(kept(), Vec::<String>::new());
}
