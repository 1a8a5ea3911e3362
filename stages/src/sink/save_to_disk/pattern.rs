//! How a file is called.

use engine::moment;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

/// The longest part of a name between two `/`, in bytes, which leaves room for endings.
const LONGEST: usize = 200;

/// The name of a file, with placeholders. Nothing that a sender chose can leave the folder: what a placeholder stands
/// for is cut to letters, digits, `-`, `_` and `.`, and never begins with a dot.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(super) struct Pattern(#[schemars(with = "String")] Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Known(Known),
}

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Id,
    Webhook,
    Channel,
    Sequence,
    Date,
    Time,
}

const NAMES: [(&str, Known); 8] = [
    ("id", Known::Id),
    ("message_id", Known::Id),
    ("webhook", Known::Webhook),
    ("webhook_id", Known::Webhook),
    ("channel", Known::Channel),
    ("sequence", Known::Sequence),
    ("date", Known::Date),
    ("time", Known::Time),
];

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(format!("a pattern has 1 to {LONGEST} characters"));
        }
        let segments = || text.split('/');
        if segments().any(|segment| segment.is_empty() || segment.starts_with('.')) {
            return Err(
                "a pattern must not begin or end with `/`, and no part of it begins with a dot".to_owned()
            );
        }
        if text.contains(|c: char| c.is_control() || c == '\\') {
            return Err("a pattern must not hold control characters or `\\`".to_owned());
        }
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("a placeholder does not end")?;
            let known = NAMES.iter().find(|(one, _)| *one == name);
            let (_, known) = known.ok_or_else(|| {
                let all: Vec<_> = NAMES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                format!("no placeholder is called `{{{name}}}`; there are {}", all.join(", "))
            })?;
            parts.extend([Part::Text(before.to_owned()), Part::Known(*known)]);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }
}

impl Pattern {
    /// One file per webhook.
    pub(super) fn of_the_id() -> Self {
        Self(vec![Part::Known(Known::Id)])
    }

    /// One file per day.
    pub(super) fn of_the_day() -> Self {
        Self(vec![Part::Known(Known::Date)])
    }

    /// Adds the id to a pattern that would give two webhooks the same name.
    pub(super) fn telling_apart(mut self) -> Self {
        // A sequence is one of its channel, and several channels may write to one folder.
        if !self.0.contains(&Part::Known(Known::Id)) {
            self.0.extend([Part::Text("-".to_owned()), Part::Known(Known::Id)]);
        }
        self
    }

    /// Returns the name for `webhook`, without its ending. The same for every delivery of it.
    pub(super) fn name(&self, webhook: &Webhook) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Known(known) => known.write(webhook, &mut name),
            }
        }
        let segments = name.split('/').map(|segment| segment.trim_start_matches('.'));
        let segments = segments.map(|segment| if segment.is_empty() { "_" } else { segment });
        let is_cut = segments.clone().any(|segment| segment.len() > LONGEST);
        let fitting: Vec<_> = segments.map(|segment| front(segment, LONGEST)).collect();
        let name = fitting.join("/");
        // What was cut off may have been the id, and two webhooks must not share a file.
        if is_cut { format!("{}/{}", name, webhook.id()) } else { name }
    }
}

/// Returns the front of a text, at most as many bytes as `most`.
fn front(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Known {
    fn write(self, webhook: &Webhook, name: &mut String) {
        let received = moment::to_text(webhook.head.received);
        let (date, time) = received.split_once('T').unwrap_or((&received, ""));
        name.push_str(&match self {
            Self::Id => webhook.id().to_string(),
            Self::Webhook => tame(&webhook.head.webhook),
            Self::Channel => tame(&webhook.transit.channel),
            Self::Sequence => format!("{:020}", webhook.transit.sequence),
            Self::Date => tame(date),
            Self::Time => tame(time),
        });
    }
}

/// Replaces everything that could mean more than itself in a file's name.
fn tame(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let tamed: String = text.chars().take(LONGEST).map(|c| if fits(c) { c } else { '_' }).collect();
    if tamed.starts_with('.') || tamed.is_empty() { format!("_{tamed}") } else { tamed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;
    use engine::webhook::{Head, Transit, from_micros};
    use std::sync::Arc;

    fn named(pattern: &str, id: &str, channel: &str) -> String {
        let mut webhook = webhook(&[], b"");
        let received = from_micros(1_700_000_000_000_000);
        webhook.head = Arc::new(Head { webhook: id.into(), received, ..(*webhook.head).clone() });
        webhook.transit = Transit { channel: channel.into(), sequence: 7, attempt: 1, expires: None };
        Pattern::try_from(pattern.to_owned()).unwrap().name(&webhook)
    }

    #[test]
    fn placeholders_stand_for_what_is_known() {
        assert_eq!(
            named("{channel}/{date}/{webhook}-{sequence}", "orders", "direct:orders"),
            "direct_orders/2023-11-14/orders-00000000000000000007"
        );
    }

    #[test]
    fn nothing_a_sender_chose_leaves_the_folder() {
        assert_eq!(named("{webhook}", "../../etc/passwd", ""), "_.._.._etc_passwd");
        assert_eq!(named("a/{webhook}/{channel}", "..", "."), "a/_../_.");
        assert_eq!(named("{webhook}", "a\0b\nc\\d", ""), "a_b_c_d");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_still_tells_webhooks_apart() {
        let name = named("{webhook}{webhook}-{id}", &"x".repeat(500), "");
        let (folder, file) = name.split_once('/').unwrap();
        assert_eq!((folder.len(), file.len()), (LONGEST, "msg_".len() + 32));
    }

    #[test]
    fn a_pattern_that_leaves_the_folder_or_says_nothing_is_refused() {
        for pattern in
            ["", "/etc/{id}", "../{id}", "a/../{id}", "a//b", "{id", "{uuid}", "a/", ".hidden", "a\\b"]
        {
            assert!(Pattern::try_from(pattern.to_owned()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_without_the_id_gets_it() {
        let webhook = webhook(&[], b"");
        let name = Pattern::try_from("{webhook}".to_owned()).unwrap().telling_apart().name(&webhook);
        assert_eq!(name, format!("orders-{}", webhook.id()));
    }
}
