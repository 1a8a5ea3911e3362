//! The keys that a sender may present, and how what it presents is compared with them.

use engine::config::{Faults, Node, Pointer, Secret};
use subtle::{Choice, ConstantTimeEq};

/// One key, or several while an old and a new one are exchanged.
pub(super) struct ApiKeys<'a> {
    /// The setting `api_key`.
    pub(super) one: Option<&'a Secret>,
    /// The setting `api_keys`.
    pub(super) more: &'a [Secret],
    /// Whether letters in another case are other letters.
    pub(super) case_sensitive: bool,
}

impl<'a> ApiKeys<'a> {
    /// Complains unless there is a key, and about keys that nobody can present.
    pub(super) fn check(&self, at: &Node, faults: &mut Faults) {
        if self.all().next().is_none() {
            let problem = "`api_key` or `api_keys` is missing, so nobody could be told apart";
            faults.add(at.at(), problem, None);
        }
        for (place, key) in self.placed(at.at()) {
            if key.expose().trim().is_empty() {
                faults.add(&place, "the API key is empty, so it would protect nothing", None);
            } else if key.expose().contains(char::is_control) {
                let problem = "the API key holds a control character, which a sender cannot send";
                faults.add(&place, problem, None);
            }
        }
    }

    /// Returns every key with the place it stands at, in settings that stand at `at`.
    pub(super) fn placed(&self, at: &Pointer) -> impl Iterator<Item = (Pointer, &'a Secret)> {
        let list = at.child("api_keys");
        let one = self.one.map(|key| (at.child("api_key"), key));
        let more = self.more.iter().enumerate().map(move |(index, key)| (list.index(index), key));
        one.into_iter().chain(more)
    }

    /// Returns true when `presented` is one of the keys. It is compared with every one of them, so that time does not
    /// tell which one is nearly right.
    pub(super) fn hold(&self, presented: &Secret) -> bool {
        let presented = self.written(presented);
        let mut found = Choice::from(0);
        for key in self.all() {
            let equal = self.written(key).expose().as_bytes().ct_eq(presented.expose().as_bytes());
            // Settings that are empty do not get here; a door that is open by mistake is not left to that.
            found |= equal & Choice::from(u8::from(!key.expose().trim().is_empty()));
        }
        found.into()
    }

    fn all(&self) -> impl Iterator<Item = &'a Secret> {
        self.one.into_iter().chain(self.more)
    }

    /// Writes a key in the way in which keys are compared.
    fn written(&self, key: &Secret) -> Secret {
        if self.case_sensitive { key.clone() } else { Secret::new(key.expose().to_lowercase()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(keys: &[&str], presented: &str, case_sensitive: bool) -> bool {
        let more: Vec<Secret> = keys.iter().map(|key| Secret::new(*key)).collect();
        ApiKeys { one: None, more: &more, case_sensitive }.hold(&Secret::new(presented))
    }

    #[test]
    fn any_of_the_keys_will_do_and_nothing_else() {
        for (presented, held) in [("old", true), ("new", true), ("ne", false), ("newer", false), ("", false)]
        {
            assert_eq!(hold(&["old", "new"], presented, true), held, "{presented}");
        }
    }

    #[test]
    fn the_case_of_letters_counts_unless_told_otherwise() {
        assert!(!hold(&["AbÜ"], "aBü", true));
        assert!(hold(&["AbÜ"], "aBü", false));
    }

    #[test]
    fn an_empty_key_lets_nobody_pass() {
        assert!(!hold(&["", " "], "", true) && !hold(&["", " "], " ", false) && !hold(&[], "", true));
    }
}
