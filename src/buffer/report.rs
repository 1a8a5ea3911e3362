//! What stands in a buffer and what is wrong with it, for people and programs.

use std::collections::BTreeMap;
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
    let mut lines = vec![format!("{segments} segments, {bytes} bytes")];
    if !channels.is_empty() {
        let names = figures(&Stats::default()).map(|(name, _)| format!("{name:>15}")).concat();
        lines.push(format!("{:<24}{names}", "channel"));
    }
    lines.extend(channels.iter().map(|(name, stats)| {
        let row = figures(stats).map(|(_, count)| format!("{count:>15}")).concat();
        format!("{name:<24}{row}")
    }));
    lines.extend(findings.iter().map(line));
    let lost = findings.iter().map(Finding::lost).sum::<u64>();
    lines.push(match findings.len() {
        0 => "sound\n".to_owned(),
        count => format!("{count} findings, {lost} webhooks lost\n"),
    });
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let Finding { what, segment, offset, bytes, channel, sequence, id, webhooks } = finding;
    let shown = |is_known: bool, text: String| is_known.then_some(text);
    let parts = [
        shown(!segment.is_empty(), format!("segment {segment}")),
        shown(*bytes > 0, format!("{bytes} bytes at {offset}")),
        shown(!channel.is_empty(), format!("channel {channel}")),
        sequence.map(|sequence| format!("sequence {sequence}")),
        id.map(|id| format!("id {id}")),
        shown(sequence.is_none() && *webhooks > 0, format!("{webhooks} webhooks")),
    ];
    format!("{what}: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
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
