//! How a connector reaches its receiver: `protocol` and the TLS keys, which stand at the top of every shape.

use std::path::Path;

use engine::config::{Faults, Node, is_open};
use serde_json::{Value, json};

/// The flat keys, each with the key of `tls` that it stands for.
const FLAT: [(&str, &str); 3] =
    [("ca_cert_path", "ca"), ("client_cert_path", "cert"), ("client_key_path", "key")];

/// Makes the paths that a `connector.json` in `folder` has independent of the working directory.
#[must_use]
pub fn join_paths(root: &Node, folder: &Path) -> Node {
    let mut all = root.value().clone();
    let join = |path: &mut Value| {
        if let Some(text) = path.as_str().filter(|text| !is_open(text)) {
            *path = json!(folder.join(text));
        }
    };
    for (flat, _) in FLAT {
        all.get_mut(flat).into_iter().for_each(join);
    }
    if let Some(tls) = all.get_mut("tls").and_then(Value::as_object_mut) {
        tls.values_mut().for_each(join);
    }
    root.with_value(all)
}

/// Complains about keys that say two things, or what is never done.
pub(crate) fn check(root: &Node, faults: &mut Faults) {
    if let Some(verify) = root.get("verify_ssl").filter(|verify| verify.parse(faults) == Some(false)) {
        let help = "for a receiver with a certificate of your own authority, name that authority's certificate: \
            \"tls\": {\"ca\": \"FILE\"}";
        faults.add(verify.at(), "the receiver's certificate is always verified", Some(help.to_owned()));
    }
    let Some(tls) = root.get("tls") else { return };
    for (flat, key) in FLAT {
        if let (Some(flat_node), Some(_)) = (root.get(flat), tls.get(key)) {
            faults.add(flat_node.at(), format!("`{flat}` and `tls.{key}` say the same; keep one"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat::rename;
    use engine::config::Pointer;

    fn node(value: Value) -> Node {
        Node::new(value, Pointer::root())
    }

    #[test]
    fn both_ways_to_name_certificates_mean_the_same() {
        for root in [
            json!({"tls": {"ca": "ca.pem", "cert": "/c.pem", "key": "k.pem"}}),
            json!({"ca_cert_path": "ca.pem", "client_cert_path": "/c.pem", "client_key_path": "k.pem", "verify_ssl": true}),
        ] {
            let root = join_paths(&node(root), Path::new("/etc/wc"));
            let mut faults = Faults::default();
            check(&root, &mut faults);
            assert!(faults.is_empty());
            let own = root.get("tls").unwrap_or_else(|| node(json!({})));
            let source = rename(&root, node(json!({})).with_member("tls", &own));
            let tls = json!({"ca": "/etc/wc/ca.pem", "cert": "/c.pem", "key": "/etc/wc/k.pem"});
            assert_eq!(source.value(), &json!({ "tls": tls }));
        }
    }

    #[test]
    fn what_says_two_things_or_what_is_never_done_is_refused() {
        let root = node(json!({"verify_ssl": false, "tls": {"ca": "a"}, "ca_cert_path": "b"}));
        let mut faults = Faults::default();
        check(&root, &mut faults);
        let told = format!("{faults:?}");
        for part in ["always verified", "\\\"ca\\\"", "keep one"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
