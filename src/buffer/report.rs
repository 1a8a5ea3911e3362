//! What stands in a buffer and what is wrong with it, for people and programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use engine::store::Stats;
use serde_json::{Value, json};
use stages::store::{Finding, Report};

use crate::cli::Shown;

/// Returns the report as it is printed.
pub(super) fn told(report: &Report, format: Shown) -> String {
    match format {
        Shown::Human => human(report),
        Shown::Json => format!("{:#}\n", as_json(report)),
    }
}

/// Returns what a repair has come to.
pub(super) fn repaired(report: &Report, folder: &Path) -> String {
    if report.findings.is_empty() {
        return "nothing was wrong; everything was written anew\n".to_owned();
    }
    let quarantine = folder.join("quarantine");
    format!("repaired; what was set aside is in {}\n", quarantine.display())
}

/// The figures shown of a channel, and their names.
fn figures(stats: &Stats) -> [(&'static str, u64); 7] {
    [
        ("accepted", stats.accepted),
        ("delivered", stats.delivered),
        ("queued", stats.live),
        ("dead_lettered", stats.dead_lettered),
        ("expired", stats.expired),
        ("dropped", stats.dropped),
        ("purged", stats.purged),
    ]
}

fn human(Report { segments, bytes, channels, findings }: &Report) -> String {
    let mut out = format!("{segments} segments, {bytes} bytes\n");
    // A text takes whatever is written to it.
    if !channels.is_empty() {
        let names = figures(&Stats::default()).map(|(name, _)| format!("{name:>13}")).concat();
        drop(writeln!(out, "{:<24}{names}", "channel"));
    }
    for (name, stats) in channels {
        let row = figures(stats).map(|(_, count)| format!("{count:>13}")).concat();
        drop(writeln!(out, "{name:<24}{row}"));
    }
    for finding in findings {
        drop(writeln!(out, "{}", line(finding)));
    }
    match findings.len() {
        0 => out.push_str("sound\n"),
        count => drop(writeln!(
            out,
            "{count} findings, {} webhooks lost",
            findings.iter().map(Finding::lost).sum::<u64>()
        )),
    }
    out
}

fn line(finding: &Finding) -> String {
    let Finding { what, segment, offset, bytes, channel, sequence, id, webhooks } = finding;
    let mut out = (*what).to_owned();
    if !segment.is_empty() {
        drop(write!(out, ": segment {segment}"));
    }
    if *bytes > 0 {
        drop(write!(out, ", {bytes} bytes at {offset}"));
    }
    if !channel.is_empty() {
        drop(write!(out, ", channel {channel}"));
    }
    if let Some(sequence) = sequence {
        drop(write!(out, ", sequence {sequence}"));
    }
    match id {
        Some(id) => drop(write!(out, ", id {id}")),
        None if sequence.is_none() && *webhooks > 0 => drop(write!(out, ", {webhooks} webhooks")),
        None => {}
    }
    out
}

fn as_json(Report { segments, bytes, channels, findings }: &Report) -> Value {
    let channels: serde_json::Map<String, Value> = channels
        .iter()
        .map(|(name, stats)| (name.clone(), BTreeMap::from(figures(stats)).into_iter().collect()))
        .collect();
    let findings: Vec<Value> = findings
        .iter()
        .map(|one| {
            json!({
                "what": one.what,
                "segment": one.segment,
                "offset": one.offset,
                "bytes": one.bytes,
                "channel": one.channel,
                "sequence": one.sequence,
                "id": one.id.map(|id| id.to_string()),
                "webhooks": one.webhooks,
            })
        })
        .collect();
    json!({ "segments": segments, "bytes": bytes, "channels": channels, "findings": findings })
}
