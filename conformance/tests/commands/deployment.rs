//! `conform --receiver`: the suite against a receiver that it did not start.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::case::{Failed, ensure_eq};
use conformance::party::connector::Link;
use conformance::party::transport::Transport;
use conformance::{cases, deployment, under_test};
use serde_json::{Value, json};

use crate::{Deployment, TOKEN, conform, run};

#[tokio::test]
async fn our_receiver_passes_in_less_than_50_seconds_and_keeps_what_is_not_the_suites() -> Result<(), Failed>
{
    let deployment = Deployment::start(json!({})).await?;
    let (url, began) = (deployment.url(), Instant::now());
    let suite = tokio::spawn(async move {
        let arguments = conform(&url, &["--report", "json"]);
        run(&arguments).await
    });
    // An operator's webhook comes while the suite runs.
    let end = Instant::now() + Duration::from_secs(20);
    while deployment.stats().await?["messages_accepted"].as_i64() < Some(20) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    deployment.post("gate").await?;
    let ended = suite.await??;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    let told = ended.json();
    ensure_eq("failed", &told["failed"], &json!(0))?;
    let lines = told["cases"].as_array().cloned().unwrap_or_default();
    let named: BTreeSet<_> = lines.iter().filter_map(|line| line["case"].as_str()).collect();
    ensure_eq("the cases told", &named, &cases::all().iter().map(|case| case.id).collect())?;
    for line in &lines {
        let is_skipped = line["verdict"] == json!("skipped");
        assert_eq!(
            is_skipped,
            line["why"].is_string(),
            "a reason for what is skipped, and only then: {line}"
        );
    }
    for transport in Transport::ALL {
        let passed = |line: &&Value| {
            line["transport"] == json!(transport.name()) && line["verdict"] == json!("passed")
        };
        let count = lines.iter().filter(passed).count();
        assert!(count >= 10, "{count} passed over {}", transport.name());
    }
    let stats = deployment.stats().await?;
    ensure_eq("webhooks left", &stats["messages_queued"], &json!(1))?;
    ensure_eq("dead letters left", &stats["messages_dead_lettered"], &json!(0))?;
    let delivered = stats["messages_accepted"].as_i64().unwrap_or(0) - 1;
    ensure_eq("webhooks settled", &stats["messages_delivered"], &json!(delivered))
}

#[tokio::test]
async fn a_channel_in_use_is_refused_and_left_as_it_was() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    let url = deployment.url();
    let link = Link::open(Transport::Sse, deployment.address, "gate", TOKEN, 1).await?;
    let ended = run(&conform(&url, &["--case", "ACK-07"])).await?;
    assert_eq!(ended.code, 3, "{}", ended.whole());
    assert!(ended.complaint.contains("`gate` has 1 other connectors"), "{}", ended.whole());
    drop(link);
    deployment.post("gate").await?;
    deployment.post("gate").await?;
    let before = deployment.stats().await?;
    let ended = run(&conform(&url, &["--case", "ACK-07"])).await?;
    assert_eq!(ended.code, 3, "{}", ended.whole());
    assert!(ended.complaint.contains("has 2 webhooks that are not the suite's"), "{}", ended.whole());
    assert!(ended.complaint.contains("--take-over"), "{}", ended.whole());
    let figures = |stats: &Value| [&stats["messages_accepted"], &stats["messages_queued"]].map(Value::clone);
    ensure_eq("the figures", &figures(&deployment.stats().await?), &figures(&before))?;
    let ended = run(&conform(&url, &["--case", "ACK-07", "--take-over"])).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    ensure_eq("webhooks of others", &deployment.stats().await?["messages_queued"], &json!(2))
}

#[tokio::test]
async fn what_cannot_begin_is_told_apart_from_what_fails() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    let url = deployment.url();
    let base = ["conform", "--receiver", &url, "--webhook", "gate", "--channel", "gate", "--token"];
    for (more, code, told) in [
        (&["wrong"][..], 3, "the token of channel `gate` is refused"),
        (&[TOKEN, "--admin-token", "wrong"], 3, "the admin token is refused"),
        (&[TOKEN], 3, "was answered 401"),
        (&[TOKEN, "--case", "ACK-99"], 2, "there is no case `ACK-99`; there are ACK-01, "),
        (&[TOKEN, "--header", "nonsense"], 2, "not of the form `Name: value`"),
        (&[TOKEN, "--connector", "true"], 2, "cannot be used with"),
    ] {
        let ended = run(&[&base[..], more].concat()).await?;
        assert_eq!(ended.code, code, "{more:?}: {}", ended.whole());
        assert!(ended.complaint.contains(told), "{more:?}: {}", ended.whole());
        assert!(!ended.complaint.contains(TOKEN), "{more:?}: {}", ended.whole());
    }
    assert_eq!(run(&["conform"]).await?.code, 2);
    ensure_eq("webhooks accepted", &deployment.stats().await?["messages_accepted"], &json!(0))
}

#[test]
fn the_documentation_names_every_case() -> Result<(), Failed> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md"))?;
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    for id in [deployment::ids(), under_test::ids()].concat() {
        assert_eq!(rows.iter().filter(|row| row.contains(id)).count(), 1, "{id}");
    }
    Ok(())
}

/// Replaces what is new in every run: times, and the URL.
fn without_times(text: &str, url: &str) -> String {
    let mut out = String::new();
    for line in text.replace(url, "URL").lines() {
        let line = match line.find(" s  ") {
            Some(at) if line.starts_with("ok ") => format!("{}  T{}", &line[..at - 5], &line[at..]),
            None if line.starts_with("URL: ") => line.split(" in ").next().unwrap_or_default().to_owned(),
            Some(_) | None => line.to_owned(),
        };
        out += &format!("{line}\n");
    }
    out
}

#[tokio::test]
async fn the_report_for_people_says_a_line_per_case_and_why_one_is_skipped() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    let url = deployment.url();
    let some = ["ACK-07", "ACK-08", "ACK-11", "DUR-02", "DUR-03", "FID-01"];
    let more: Vec<_> = some.iter().flat_map(|id| ["--case", id]).collect();
    let ended = run(&conform(&url, &more)).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/golden/deployment.told");
    let told = without_times(&ended.out, &url);
    if std::env::var_os("GOLDEN").is_some_and(|golden| golden == "write") {
        std::fs::write(&golden, &told)?;
    }
    ensure_eq("the report", &told, &std::fs::read_to_string(golden)?)
}

#[tokio::test]
async fn the_report_for_build_servers_is_well_formed_junit() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    let url = deployment.url();
    let ended = run(&conform(&url, &["--case", "ack-07", "--case", "DUR-02", "--report", "junit"])).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    let document = roxmltree::Document::parse(&ended.out)?;
    let suite = document.root_element().first_element_child().ok_or_else(|| Failed("a suite".to_owned()))?;
    let figures = ["tests", "failures", "skipped"].map(|name| suite.attribute(name).unwrap_or_default());
    ensure_eq("tests, failures and skipped", &figures, &["5", "0", "1"])?;
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    ensure_eq("the cases", &cases.len(), &5)?;
    let skipped = cases.iter().filter(|case| case.children().any(|node| node.has_tag_name("skipped")));
    let classes: Vec<_> = skipped.filter_map(|case| case.attribute("classname")).collect();
    ensure_eq("the one that is skipped", &classes, &vec!["conformance.DUR-02"])?;
    // What proves nothing is no pass.
    let ended = run(&conform(&url, &["--case", "DUR-02"])).await?;
    assert_eq!(ended.code, 1, "{}", ended.whole());
    Ok(())
}
