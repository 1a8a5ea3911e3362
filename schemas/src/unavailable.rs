//! Keys that are part of a format and not of this version: refused, never ignored. And keys that nobody knows.

use engine::config::{Faults, Node, suggest};

use crate::modules::AUTH;

/// Complains about members of `node` that this version does not have, and warns about members that nobody knows.
pub(crate) fn check(node: &Node, known: &[&str], later: &[&str], faults: &mut Faults) {
    // At the top of a document, what begins with `_` may still be there.
    for (key, member) in node.members().filter(|(key, _)| !key.starts_with('_')) {
        if later.contains(&key) {
            refuse(&member, &format!("`{key}`"), faults);
        } else if !known.contains(&key) {
            let near = suggest(key, known.iter().chain(later).copied());
            if let Some(auth) = near.filter(|near| AUTH.contains(near)) {
                // Ignored, it would leave the door open.
                let help = Some(format!("did you mean `{auth}`?"));
                faults.add(member.at(), format!("unknown key `{key}`"), help);
                continue;
            }
            let near = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            faults.warn(member.at(), format!("unknown key `{key}` is ignored{near}"));
        }
    }
}

/// Complains about members of `node` that nobody knows.
pub(crate) fn refuse_unknown(node: &Node, known: &[&str], faults: &mut Faults) {
    for (key, member) in node.members().filter(|(key, _)| !known.contains(key)) {
        let near = suggest(key, known.iter().copied());
        let all = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let help = near.map(|name| format!("did you mean `{name}`?"));
        faults.add(member.at(), format!("unknown key `{key}`, expected one of {all}"), help);
    }
}

/// Complains that `what` is not part of this version.
pub(crate) fn refuse(node: &Node, what: &str, faults: &mut Faults) {
    let help = "remove it, or wait for a version that has it".to_owned();
    faults.add(node.at(), format!("{what} is not available in this version"), Some(help));
}
