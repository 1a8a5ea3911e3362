//! Settings that name files. A relative one is relative to the folder of the document it stands in.

use std::path::Path;

use engine::config::{Node, is_open};
use engine::graph::draft::Draft;
use serde_json::json;

/// The modules that have such settings.
const PATHS: [(&str, &[&str]); 2] = [("embedded", &["path"]), ("save_to_disk", &["base_dir", "path"])];

/// A setting that is relative to another one where that is given, and names the document's folder where neither is.
const WITHIN: [(&str, &str, &str); 1] = [("save_to_disk", "path", "base_dir")];

/// Makes the paths among the settings of all stages independent of the working directory. `folder` is that of the document
/// which describes them. A path that is left open stays as it is written.
#[must_use]
pub fn join(mut drafts: Vec<Draft>, folder: &Path) -> Vec<Draft> {
    for draft in &mut drafts {
        let keys = PATHS.iter().filter(|(module, _)| *module == draft.module).flat_map(|(_, keys)| *keys);
        draft.settings = keys.fold(draft.settings.clone(), |settings, key| {
            let outer = WITHIN.iter().find(|(module, inner, _)| *module == draft.module && inner == key);
            let is_within = outer.is_some_and(|(.., outer)| settings.get(outer).is_some());
            match settings.get(key) {
                Some(path) if !is_within => settings.with_member(key, &joined(&path)),
                None if !is_within && outer.is_some() && folder != Path::new("") => {
                    let implied = Node::new(json!(folder), settings.at().child(key));
                    settings.with_member(key, &implied)
                }
                Some(_) | None => settings,
            }
        });
    }
    drafts
}

/// Lays a path below the folder of its document.
fn joined(path: &Node) -> Node {
    match (path.text(), path.folder()) {
        (Some(text), Some(folder)) if !is_open(text) => path.with_value(json!(folder.join(text))),
        _ => path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use engine::config::{Pointer, left_open};
    use serde_json::Value;

    use super::*;

    fn joined(module: &str, settings: Value) -> Value {
        let settings = Node::new(settings, Pointer::root()).in_folder(Path::new("/etc/wc"));
        let (name, at) = (String::new(), Pointer::root());
        let draft = Draft { name, module: module.to_owned(), settings, at, from: Vec::new() };
        join(vec![draft], Path::new("/etc/wc"))[0].settings.value().clone()
    }

    #[test]
    fn a_relative_path_is_relative_to_the_file_and_an_absolute_one_stays() {
        assert_eq!(joined("embedded", json!({"path": "./data"})), json!({"path": "/etc/wc/./data"}));
        assert_eq!(joined("save_to_disk", json!({"path": "/var"})), json!({"path": "/var"}));
        assert_eq!(joined("save_to_disk", json!({})), json!({"path": "/etc/wc"}));
        assert_eq!(joined("log", json!({"path": "x"})), json!({"path": "x"}));
    }

    #[test]
    fn a_path_within_another_folder_is_relative_to_that() {
        let settings = json!({"path": "p", "base_dir": "b"});
        assert_eq!(joined("save_to_disk", settings), json!({"path": "p", "base_dir": "/etc/wc/b"}));
    }

    #[test]
    fn a_path_that_is_left_open_stays_as_it_is_written() {
        let open = json!({"path": left_open("{$FOLDER}")});
        assert_eq!(joined("save_to_disk", open.clone()), open);
    }
}
