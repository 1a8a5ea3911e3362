//! How a connector reaches its receiver: `protocol` and the TLS keys, which stand at the top of every shape.

use std::path::Path;

use engine::config::{Faults, Node};
use engine::graph::draft::Draft;
use serde_json::{Map, Value, json};

/// The keys at the top, beside what each shape has of its own.
pub(crate) const KEYS: [&str; 6] =
    ["protocol", "tls", "ca_cert_path", "client_cert_path", "client_key_path", "verify_ssl"];

/// The flat keys, each with the key of `tls` that it stands for.
const FLAT: [(&str, &str); 3] =
    [("ca_cert_path", "ca"), ("client_cert_path", "cert"), ("client_key_path", "key")];

/// What the command line says, which goes before the file.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// How to speak to the receiver.
    pub protocol: Option<String>,
    /// File with authorities that are trusted beside the system's.
    pub ca: Option<String>,
    /// File with the certificate to show.
    pub cert: Option<String>,
    /// File with its key.
    pub key: Option<String>,
}

/// Makes the paths that a `connector.json` in `folder` has independent of the working directory.
#[must_use]
pub fn join_paths(root: &Node, folder: &Path) -> Node {
    let mut all = root.value().clone();
    let join = |path: &mut Value| {
        if let Some(text) = path.as_str() {
            *path = json!(folder.join(text));
        }
    };
    for (flat, _) in FLAT {
        all.get_mut(flat).into_iter().for_each(join);
    }
    if let Some(tls) = all.get_mut("tls").and_then(Value::as_object_mut) {
        tls.values_mut().for_each(join);
    }
    Node::new(all, root.at().clone())
}

/// Complains about keys that say two things, or what is never done.
pub(crate) fn check(root: &Node, faults: &mut Faults) {
    if let Some(verify) = root.get("verify_ssl").filter(|verify| *verify.value() != json!(true)) {
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

/// Adds what the top of the file says to the settings of a source.
pub(crate) fn add(root: &Node, source: &mut Value) {
    if let Some(protocol) = root.get("protocol") {
        source["protocol"] = protocol.value().clone();
    }
    let mut tls = root.get("tls").map_or_else(|| json!({}), |tls| tls.value().clone());
    if let Some(members) = tls.as_object_mut() {
        for (flat, key) in FLAT {
            if let Some(path) = root.get(flat) {
                members.insert(key.to_owned(), path.value().clone());
            }
        }
    }
    if tls.as_object().is_none_or(|members| !members.is_empty()) {
        source["tls"] = tls;
    }
}

/// Adds what the command line says to every source.
pub fn apply(flags: &Flags, drafts: &mut [Draft]) {
    let given = |value: &Option<String>| value.as_ref().map(|text| json!(text));
    let tls = [("ca", &flags.ca), ("cert", &flags.cert), ("key", &flags.key)];
    for draft in drafts.iter_mut().filter(|draft| draft.module == "subscribe") {
        let mut settings = draft.settings.value().clone();
        if let Some(protocol) = given(&flags.protocol) {
            settings["protocol"] = protocol;
        }
        for (key, value) in tls {
            let Some(value) = given(value) else { continue };
            if !settings["tls"].is_object() {
                settings["tls"] = Value::Object(Map::new());
            }
            settings["tls"][key] = value;
        }
        draft.settings = Node::new(settings, draft.settings.at().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let (root, mut source) = (join_paths(&node(root), Path::new("/etc/wc")), json!({}));
            let mut faults = Faults::default();
            check(&root, &mut faults);
            add(&root, &mut source);
            assert!(faults.is_empty());
            let tls = json!({"ca": "/etc/wc/ca.pem", "cert": "/c.pem", "key": "/etc/wc/k.pem"});
            assert_eq!(source, json!({ "tls": tls }));
        }
    }

    #[test]
    fn a_file_without_these_keys_adds_nothing() {
        let mut source = json!({});
        add(&node(json!({})), &mut source);
        assert_eq!(source, json!({}));
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

    #[test]
    fn the_command_line_goes_before_the_file() {
        let draft = |module: &str| Draft {
            name: "c".to_owned(),
            module: module.to_owned(),
            settings: node(json!({"protocol": "sse", "tls": {"ca": "a"}})),
            at: Pointer::root(),
            from: Vec::new(),
        };
        let mut drafts = [draft("subscribe"), draft("log")];
        let flags =
            Flags { protocol: Some("auto".to_owned()), cert: Some("c".to_owned()), ..Flags::default() };
        apply(&flags, &mut drafts);
        let wanted = json!({"protocol": "auto", "tls": {"ca": "a", "cert": "c"}});
        assert_eq!(drafts[0].settings.value(), &wanted);
        assert_eq!(drafts[1].settings.value(), draft("log").settings.value());
    }
}
