//! Something that lasts: said when it begins, when its reason changes, and when it ends, not each time in between.

/// Reasons of one episode that are told apart; further ones are not said.
const REASONS: usize = 8;

/// Whether something that lasts is going on.
#[derive(Debug, Default)]
pub(super) struct Episode {
    times: u64,
    reasons: Vec<String>,
}

impl Episode {
    /// Notes one more occurrence; returns true at the first.
    pub(super) fn begins(&mut self) -> bool {
        self.times += 1;
        self.times == 1
    }

    /// Notes one more occurrence and its reason; returns true when this episode had no such reason yet.
    pub(super) fn begins_with(&mut self, reason: &str) -> bool {
        self.times += 1;
        let new = self.reasons.len() < REASONS && !self.reasons.iter().any(|one| one == reason);
        if new {
            self.reasons.push(reason.to_owned());
        }
        new
    }

    /// Returns true while it goes on.
    pub(super) fn lasts(&self) -> bool {
        self.times > 0
    }

    /// Notes that all is well; returns how often it had occurred when this ends an episode.
    pub(super) fn ends(&mut self) -> Option<u64> {
        self.reasons.clear();
        Some(std::mem::take(&mut self.times)).filter(|times| *times > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_per_episode_and_their_number_is_bounded() {
        let mut episode = Episode::default();
        let said = ["full", "full", "read-only", "full"].map(|reason| episode.begins_with(reason));
        assert_eq!(said, [true, false, true, false]);
        assert_eq!((0..100).filter(|n| episode.begins_with(&n.to_string())).count(), REASONS - 2);
        assert_eq!((episode.ends(), episode.ends()), (Some(104), None));
        assert!(episode.begins_with("full"));
    }
}
