//! The balance of a channel: everything that was accepted is somewhere.

use std::fmt;

use serde_json::Value;

use crate::case::Failed;

/// What becomes of a webhook, as the figures name it after `messages_`.
pub const PARTS: [&str; 7] =
    ["delivered", "queued", "in_flight", "dead_lettered", "expired", "dropped", "purged"];

/// What a channel accepted, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Webhooks that were accepted.
    pub accepted: i64,
    /// What became of them, in the order of [`PARTS`].
    pub parts: [i64; 7],
    /// By how much the receiver itself says that the figures are off.
    pub told: i64,
}

impl Balance {
    /// Reads the figures of a channel.
    ///
    /// # Errors
    /// A figure is missing or no number; it is named.
    pub fn of(figures: &Value) -> Result<Self, Failed> {
        let figure = |name: &str| {
            let found = figures[name].as_i64();
            found.ok_or_else(|| Failed(format!("the figure `{name}` is missing among {figures}")))
        };
        let mut parts = [0; 7];
        for (part, name) in parts.iter_mut().zip(PARTS) {
            *part = figure(&format!("messages_{name}"))?;
        }
        Ok(Self { accepted: figure("messages_accepted")?, parts, told: figure("audit_imbalance")? })
    }

    /// Returns the sum of what became of webhooks.
    #[must_use]
    pub fn sum(&self) -> i64 {
        self.parts.iter().copied().fold(0, i64::saturating_add)
    }

    /// Returns by how much more was accepted than is accounted for; negative when more is accounted for.
    #[must_use]
    pub fn missing(&self) -> i64 {
        self.accepted.saturating_sub(self.sum())
    }

    /// Returns the figures that no channel can have: below zero.
    pub fn impossible(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let all = [("accepted", self.accepted)].into_iter().chain(PARTS.into_iter().zip(self.parts));
        all.filter(|(_, figure)| *figure < 0)
    }

    /// Returns true when everything accepted is somewhere, and the receiver says so too.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing() == 0 && self.told == 0 && self.impossible().next().is_none()
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.missing() {
            0 => write!(f, "accepted {} = {} accounted for", self.accepted, self.sum())?,
            missing if missing > 0 => {
                write!(f, "accepted {}, but {} accounted for: {missing} missing", self.accepted, self.sum())?;
            }
            missing => {
                let more = missing.unsigned_abs();
                write!(f, "accepted {}, but {} accounted for: {more} too many", self.accepted, self.sum())?;
            }
        }
        for (name, figure) in self.impossible() {
            write!(f, "; {name} is {figure}, below zero")?;
        }
        if self.told != self.missing() {
            write!(f, "; the receiver says audit_imbalance {}", self.told)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(accepted: i64, delivered: i64, told: i64) -> Balance {
        Balance { accepted, parts: [delivered, 0, 0, 0, 0, 0, 0], told }
    }

    #[test]
    fn it_holds_only_when_all_is_accounted_for_and_the_receiver_agrees() {
        assert!(balance(3, 3, 0).holds());
        assert!(!balance(3, 2, 0).holds());
        assert!(!balance(3, 3, 1).holds());
        assert!(!Balance { accepted: 0, parts: [1, -1, 0, 0, 0, 0, 0], told: 0 }.holds());
    }

    #[test]
    fn it_says_which_figure_is_off_and_by_how_much() {
        assert_eq!(balance(3, 1, 2).to_string(), "accepted 3, but 1 accounted for: 2 missing");
        let many = "accepted 1, but 3 accounted for: 2 too many; the receiver says audit_imbalance 0";
        assert_eq!(balance(1, 3, 0).to_string(), many);
    }
}
