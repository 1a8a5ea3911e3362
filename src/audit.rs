//! `webhook-connect audit`: balances the books of a receiver.

use std::io::{self, Write};

use conformance::case::Failed;
use conformance::party::audit::{Balance, PARTS};
use conformance::party::http;
use conformance::party::site::Site;
use engine::config::Secret;
use serde_json::{Value, json};

use crate::cli::{self, Table};
use crate::conform;
use crate::failure::Failure;

/// Where the receiver lists its channels.
const CHANNELS: &str = "/admin/webhook-connect/channels";

/// Asks for the figures of each channel and tells whether they balance.
///
/// # Errors
/// They do not, or the receiver cannot be reached, or it refuses.
pub(crate) async fn run(options: cli::Audit) -> Result<(), Failure> {
    let site = conform::site(&options.receiver, options.tls_ca.as_deref()).await?;
    let mut channels = figures(&site, &options.admin_token).await?;
    for wanted in &options.channels {
        if !channels.iter().any(|(name, _)| name == wanted) {
            return Err(Failure::Unavailable(format!("the receiver has no channel `{wanted}`")));
        }
    }
    channels.retain(|(name, _)| options.channels.is_empty() || options.channels.contains(name));
    let text = match options.format {
        Table::Human => human(&channels),
        Table::Json => json(&channels),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::other(format!("cannot print: {error}")))?;
    if channels.iter().all(|(_, balance)| balance.holds()) { Ok(()) } else { Err(Failure::Found) }
}

/// Returns the balance of every channel, in the order of their names.
async fn figures(site: &Site, token: &Secret) -> Result<Vec<(String, Balance)>, Failure> {
    let unavailable = |Failed(why)| Failure::Unavailable(why);
    let answer = http::get(site, CHANNELS, token.expose()).await.map_err(unavailable)?;
    match answer.status.as_u16() {
        200 => {}
        401 | 403 => return Err(Failure::Unavailable("the admin token is refused".to_owned())),
        404 => {
            let why = "no admin API here: the receiver has no admin token, or is another program";
            return Err(Failure::Unavailable(why.to_owned()));
        }
        other => return Err(Failure::Unavailable(format!("the list of channels was answered {other}"))),
    }
    let mut told = answer.json().map_err(unavailable)?;
    if let Some(away) = told["channels_away"].as_u64().filter(|away| *away > 0) {
        let why = format!("{away} channels are being opened, whose figures cannot be had: ask again");
        return Err(Failure::Unavailable(why));
    }
    let Value::Array(channels) = told["channels"].take() else {
        return Err(Failure::Unavailable("the answer has no list of channels".to_owned()));
    };
    let mut balances = Vec::with_capacity(channels.len());
    for figures in channels {
        let name = figures["channel"].as_str().unwrap_or_default().to_owned();
        balances.push((name, Balance::of(&figures).map_err(unavailable)?));
    }
    balances.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(balances)
}

fn human(channels: &[(String, Balance)]) -> String {
    let head = ["channel", "accepted"].into_iter().chain(PARTS).chain(["balance"]).map(str::to_owned);
    let mut rows: Vec<Vec<String>> = vec![head.collect()];
    for (name, balance) in channels {
        let word = if balance.holds() { "ok".to_owned() } else { format!("off by {}", balance.missing()) };
        let figures = [balance.accepted].into_iter().chain(balance.parts).map(|figure| figure.to_string());
        rows.push([name.clone()].into_iter().chain(figures).chain([word]).collect());
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names and words begin where their column begins; figures end where it ends.
            text += &match column {
                0 => format!("{cell:<width$}"),
                last if last + 1 == row.len() => format!("  {cell}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    for (name, balance) in channels.iter().filter(|(_, balance)| !balance.holds()) {
        text += &format!("{name}: {balance}\n");
    }
    text
}

fn json(channels: &[(String, Balance)]) -> String {
    let told: Vec<Value> = channels
        .iter()
        .map(|(name, balance)| {
            let mut figures = json!({ "channel": name, "accepted": balance.accepted });
            for (part, figure) in PARTS.into_iter().zip(balance.parts) {
                figures[part] = json!(figure);
            }
            figures["missing"] = json!(balance.missing());
            figures["balanced"] = json!(balance.holds());
            figures["why"] = if balance.holds() { Value::Null } else { json!(balance.to_string()) };
            figures
        })
        .collect();
    let balanced = channels.iter().all(|(_, balance)| balance.holds());
    format!("{:#}\n", json!({ "balanced": balanced, "channels": told }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_says_what_is_off() {
        let sound = Balance { accepted: 1_234, parts: [1_200, 30, 4, 0, 0, 0, 0], told: 0 };
        let off = Balance { accepted: 5, parts: [3, 0, 0, 0, 0, 0, 0], told: 2 };
        let text = human(&[("events".to_owned(), sound), ("a-longer-name".to_owned(), off)]);
        let wanted = "\
channel        accepted  delivered  queued  in_flight  dead_lettered  expired  dropped  purged  balance
events             1234       1200      30          4              0        0        0       0  ok
a-longer-name         5          3       0          0              0        0        0       0  off by 2
a-longer-name: accepted 5, but 3 accounted for: 2 missing
";
        assert_eq!(text, wanted);
    }
}
