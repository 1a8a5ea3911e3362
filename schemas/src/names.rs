//! Names that users choose: for webhooks, channels, stages, connections.

use engine::config::{Faults, Node, Pointer};

/// The longest channel name or webhook id, in bytes.
const LONGEST: usize = 64;

/// Returns the members of `node` by their names, each of which is one `what`. Names that begin with `_` are refused: what
/// stands there was meant to be used, or to be left out, and a name does not tell which.
pub(crate) fn named(node: &Node, what: &str, faults: &mut Faults) -> Vec<(String, Node)> {
    let fits = |(name, member): &(&str, Node)| {
        let is_name = !name.starts_with('_');
        if !is_name {
            let help =
                "give it another name, or remove it; only a text may stand there, as a comment".to_owned();
            faults.add(member.at(), format!("a {what} does not begin with `_`"), Some(help));
        }
        is_name
    };
    node.members().filter(fits).map(|(name, member)| (name.to_owned(), member)).collect()
}

/// Complains about names that cannot stand in a URL and a log line as they are.
pub(crate) fn check_name(what: &str, name: &str, at: &Pointer, faults: &mut Faults) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(fits) {
        let problem = format!("a {what} has 1 to {LONGEST} letters, digits, `-`, `_` and `.`");
        faults.add(at, problem, None);
    } else if name.starts_with('_') {
        faults.add(at, format!("a {what} does not begin with `_`"), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_that_begins_like_a_comment_is_refused_and_the_others_are_read() {
        let node = Node::new(json!({"_old": {}, "a_b": {"_x": {}}}), Pointer::root().child("routes"));
        let mut faults = Faults::default();
        let names: Vec<_> =
            named(&node, "channel name", &mut faults).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a_b"]);
        let told: Vec<_> = faults.iter().map(|fault| (fault.at.to_string(), fault.problem.clone())).collect();
        assert_eq!(told, [("/routes/_old".to_owned(), "a channel name does not begin with `_`".to_owned())]);
    }

    #[test]
    fn a_name_fits_into_a_url() {
        let refused = |name: &str| {
            let mut faults = Faults::default();
            check_name("webhook id", name, &Pointer::root(), &mut faults);
            !faults.is_empty()
        };
        for name in ["a", "A-1_b.c", &"x".repeat(64)] {
            assert!(!refused(name), "{name}");
        }
        for name in ["", "a b", "ä", "_a", "a/b", &"x".repeat(65)] {
            assert!(refused(name), "{name}");
        }
    }
}
