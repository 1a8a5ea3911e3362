//! What the check lets pass and what it refuses, over kinds that do nothing.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::check::check;
use super::draft::{Draft, From};
use crate::ack::Answer;
use crate::config::{Faults, Node, Pointer, left_open};
use crate::kind::{Build, Claim, Context, Gate, Kind, OpenError, Role, Stage};
use crate::webhook::Webhook;

macro_rules! stages {
    ($($kind:ident $name:literal $role:expr;)*) => {
        $(#[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $kind {
            channel: Option<String>,
        }

        impl Build for $kind {
            const NAME: &'static str = $name;
            const ROLE: Role = $role;

            fn claim(&self) -> Option<Claim<'_>> {
                Some(Claim { what: $name, name: self.channel.as_deref()?, key: "channel" })
            }

            async fn open(self, _cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
                Err(OpenError { what: "these are only checked".to_owned(), help: None })
            }
        })*
    };
}

stages! {
    Receive "receive" Role::Receive;
    Subscribe "subscribe" Role::Subscribe;
    Buffer "buffer" Role::Buffer;
    Outlet "outlet" Role::Outlet;
    Retry "retry" Role::Flow;
    Passage "passage" Role::Passage;
    Log "log" Role::Destination;
}

/// Has two numbered ports.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fork {}

impl Build for Fork {
    const NAME: &'static str = "fork";
    const ROLE: Role = Role::Flow;

    fn links(&self) -> u16 {
        2
    }

    async fn open(self, _cx: &Context) -> Result<Box<dyn Stage>, OpenError> {
        Err(OpenError { what: "these are only checked".to_owned(), help: None })
    }
}

macro_rules! gates {
    ($($kind:ident $name:literal $proves:literal;)*) => {
        $(#[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $kind {}

        impl Gate for $kind {
            const NAME: &'static str = $name;
            const PROVES_SENDER: bool = $proves;

            async fn admit(&self, _webhook: &Webhook) -> Result<(), Answer> {
                Ok(())
            }
        })*
    };
}

gates! {
    Hmac "hmac" true;
    Shape "shape" false;
}

fn kinds() -> [Kind; 10] {
    [
        Kind::stage::<Receive>(),
        Kind::stage::<Subscribe>(),
        Kind::stage::<Buffer>(),
        Kind::stage::<Outlet>(),
        Kind::stage::<Retry>(),
        Kind::stage::<Passage>(),
        Kind::stage::<Fork>(),
        Kind::stage::<Log>().with_aliases(&["print"]),
        Kind::gate::<Hmac>(),
        Kind::gate::<Shape>(),
    ]
}

/// Reads `name: module < source, source.exhausted, source.1`; the module may be followed by its channel: `module(channel)`.
fn draft(text: &str) -> Draft {
    let (name, rest) = text.split_once(": ").unwrap();
    let (module, from) = rest.split_once(" < ").unwrap_or((rest, ""));
    let from = from.split(", ").filter(|part| !part.is_empty()).map(|part| match part.split_once('.') {
        Some((stage, "exhausted")) => From::exhausted(stage),
        Some((stage, number)) => From::link(stage, number.parse().unwrap()),
        None => From::out(part),
    });
    let at = Pointer::root().child(name);
    let (module, settings) = match module.split_once('(') {
        Some((module, channel)) => (module, json!({ "channel": channel.trim_end_matches(')') })),
        None => (module, json!({})),
    };
    let settings = Node::new(settings, at.clone());
    Draft { name: name.to_owned(), module: module.to_owned(), settings, at, from: from.collect() }
}

/// Checks a graph and returns its pipelines, each as the names of its running stages, or the faults.
fn checked(drafts: &[&str]) -> Result<Vec<Vec<String>>, Vec<String>> {
    let mut faults = Faults::default();
    let plans = check(drafts.iter().map(|text| draft(text)).collect(), &kinds(), &mut faults);
    match plans {
        Some(plans) => {
            assert!(faults.is_empty());
            Ok(plans.iter().map(|plan| plan.stages().map(str::to_owned).collect()).collect())
        }
        None => Err(faults.iter().map(|fault| format!("{} {}", fault.at, fault.problem)).collect()),
    }
}

fn refused(drafts: &[&str], wanted: &[&str]) {
    let faults = checked(drafts).unwrap_err();
    for wanted in wanted {
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "wanted {wanted:?} among {faults:#?}");
    }
}

#[test]
fn what_is_joined_becomes_one_pipeline_with_its_gates_fused() {
    let drafts = [
        "a: receive",
        "a.shape: shape < a",
        "a.hmac: hmac < a.shape",
        "b: receive",
        "b.hmac: hmac < b",
        "buffer: buffer < a_hmac, b_hmac",
        "out: outlet < buffer",
        "s: subscribe",
        "r: retry < s",
        "l: print < r",
        "dead: log < r.exhausted",
    ];
    let drafts = drafts.map(|text| text.replace("a.", "a_").replace("b.", "b_"));
    let drafts: Vec<&str> = drafts.iter().map(String::as_str).collect();
    let pipelines = checked(&drafts).unwrap();
    assert_eq!(pipelines, [vec!["a", "b", "buffer", "out"], vec!["s", "r", "l", "dead"]]);
}

#[test]
fn a_buffer_behind_a_source_that_nobody_vouches_for_is_refused() {
    refused(
        &["a: receive", "g: shape < a", "buffer: buffer < g", "out: outlet < buffer"],
        &["/g nothing proves who sends what `g` brings"],
    );
}

#[test]
fn a_stage_whose_webhooks_go_nowhere_is_refused() {
    refused(&["s: subscribe", "r: retry < s"], &["/r nothing takes the webhooks of `r`"]);
    refused(&["a: receive", "g: hmac < a", "b: buffer < g"], &["/b nothing takes the webhooks of `b`"]);
}

#[test]
fn a_stage_with_numbered_ports_has_something_behind_each() {
    let pipelines =
        checked(&["s: subscribe", "f: fork < s", "r: retry < f.1", "l: log < r", "m: log < f.2"]).unwrap();
    assert_eq!(pipelines, [["s", "f", "r", "l", "m"]]);
    refused(&["s: subscribe", "f: fork < s", "l: log < f.1"], &["/f nothing takes the webhooks of `f.2`"]);
    let twice = ["s: subscribe", "f: fork < s", "l: log < f.1", "m: log < f.1", "n: log < f.2"];
    refused(&twice, &["/f 2 stages take the webhooks of `f.1`"]);
}

#[test]
fn a_port_that_a_stage_does_not_have_is_refused() {
    let beyond = ["s: subscribe", "f: fork < s", "l: log < f.1", "m: log < f.2", "n: log < f.3"];
    refused(&beyond, &["/n no webhooks come out of `f.3`"]);
    refused(&["s: subscribe", "r: retry < s", "l: log < r.1"], &["/l no webhooks come out of `r.1`"]);
    refused(&["s: subscribe", "f: fork < s", "l: log < f"], &["/l no webhooks come out of `f`"]);
}

#[test]
fn what_a_buffer_keeps_may_go_on_within_the_process() {
    let drafts =
        ["a: receive", "g: hmac < a", "b: buffer < g", "p: passage < b", "r: retry < p", "l: log < r"];
    assert_eq!(checked(&drafts).unwrap(), [["a", "b", "p", "r", "l"]]);
    refused(&["s: subscribe", "p: passage < s", "l: log < p"], &["/p `p` cannot take webhooks from `s`"]);
}

#[test]
fn a_fork_without_a_stage_for_it_is_refused() {
    refused(&["s: subscribe", "x: log < s", "y: log < s"], &["/s 2 stages take the webhooks of `s`"]);
}

#[test]
fn wires_that_join_what_does_not_fit_are_refused() {
    refused(&["a: receive", "l: log < a"], &["/l `l` cannot take webhooks from `a`"]);
    refused(&["s: subscribe", "b: buffer < s", "o: outlet < b"], &["/b `b` cannot take webhooks from `s`"]);
    refused(&["l: log"], &["/l `l` must take webhooks from something"]);
    refused(&["l: log < nobody"], &["/l/from no stage is called `nobody`"]);
    refused(&["s: subscribe", "l: log < s", "l: log < s"], &["two stages are called `l`"]);
}

#[test]
fn a_source_knows_the_channel_of_its_buffer() {
    let drafts = ["a: receive(w)", "g: hmac < a", "b: buffer(c) < g", "o: outlet(c) < b"].map(draft);
    let plans = check(drafts.into(), &kinds(), &mut Faults::default()).unwrap();
    let channels: Vec<_> = plans[0].stages.iter().map(|stage| stage.channel.as_deref()).collect();
    assert_eq!(channels, [Some("c"), None, None]);
}

#[test]
fn stages_that_claim_the_same_are_refused() {
    let twice = ["s: subscribe(c)", "l: log < s", "t: subscribe(c)", "m: log < t"];
    refused(&twice, &["/t/channel the subscribe `c` belongs to `s` already"]);
    assert!(checked(&["s: subscribe(c)", "l: log(c) < s", "t: subscribe(d)", "m: log < t"]).is_ok());
    let open = format!("subscribe({})", left_open("{$C}"));
    let drafts =
        [format!("s: {open}"), "l: log < s".to_owned(), format!("t: {open}"), "m: log < t".to_owned()];
    assert!(checked(&drafts.each_ref().map(String::as_str)).is_ok());
}

#[test]
fn an_outlet_that_is_called_like_another_channel_than_its_buffer_is_refused() {
    let drafts = ["a: receive", "g: hmac < a", "b: buffer(c) < g", "o: outlet(d) < b"];
    refused(&drafts, &["/o/channel `b` keeps the channel `c`, which is another one"]);
}

#[test]
fn a_loop_is_refused() {
    refused(&["r: retry < q", "q: retry < r"], &["/r `r` is part of a loop", "/q `q` is part of a loop"]);
}

#[test]
fn every_fault_is_told_at_once() {
    let mut wrong = draft("l: kafak < s");
    wrong.settings = Node::new(json!({ "x": 1 }), wrong.at.clone());
    let mut extra = draft("s: subscribe");
    extra.settings = Node::new(json!({ "x": 1 }), extra.at.clone());
    let mut faults = Faults::default();
    assert!(check(vec![extra, wrong, draft("o: outlet")], &kinds(), &mut faults).is_none());
    let told: Vec<_> = faults.iter().map(|fault| fault.at.to_string()).collect();
    assert_eq!(told, ["/l/module", "/s/x", "/o"]);
}
