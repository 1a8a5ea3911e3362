//! Which names are those of credentials.

/// Names that contain one of these. Everything else that is known contains one of them too.
const PARTS: [&str; 6] = ["password", "secret", "token", "key", "credential", "auth"];

/// Names that are known as a whole.
const WHOLE: [&str; 6] = ["passwd", "pwd", "bearer", "session_id", "sessionid", "csrf"];

/// Names that only look like those of credentials. Receivers tell repeats by them: masked, all webhooks would be one.
const NONE: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// Which names are those of credentials, whatever their case and the spaces around them.
#[derive(Debug)]
pub(super) struct Names {
    more: Vec<String>,
    kept: Vec<String>,
}

impl Names {
    /// Makes the rule from names that are credentials too, and names that are none.
    pub(super) fn new(more: &[String], kept: &[String]) -> Self {
        let plain = |names: &[String]| names.iter().map(|name| plain(name)).collect();
        Self { more: plain(more), kept: plain(kept) }
    }

    /// Tells whether `name` is that of a credential.
    pub(super) fn contain(&self, name: &str) -> bool {
        let name = plain(name);
        let is_known = || WHOLE.contains(&&*name) || PARTS.iter().any(|part| name.contains(part));
        self.more.contains(&name) || (!self.kept.contains(&name) && !NONE.contains(&&*name) && is_known())
    }
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_decides_over_what_is_known() {
        let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let names = Names::new(&text(&["Card", "idempotency-key"]), &text(&["author", "KEY"]));
        for name in ["card", " CARD ", "Idempotency-Key", "monkey", "Session_ID", "X-Auth"] {
            assert!(names.contain(name), "{name}");
        }
        for name in ["cards", "Author", "key", "X-Idempotency-Key", "session", ""] {
            assert!(!names.contain(name), "{name}");
        }
    }
}
