//! The list of stages, one row each.
//!
//! A stage is a file in `auth`, `gate`, `buffer`, `flow` or `sink`, its `mod` line and its row here. The tests compare
//! the list with the folders.

use engine::kind::Kind;

use crate::{auth, buffer, flow, gate, sink};

/// Returns every kind of stage this crate has.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    vec![
        Kind::gate::<auth::authorization::Authorization>(),
        Kind::gate::<auth::basic_auth::BasicAuth>(),
        Kind::gate::<auth::header_auth::HeaderAuth>(),
        Kind::gate::<auth::digest_auth::DigestAuth>(),
        Kind::gate::<auth::hmac::Hmac>(),
        Kind::gate::<auth::ip_whitelist::IpWhitelist>(),
        Kind::gate::<auth::jwt::Jwt>(),
        Kind::gate::<auth::oauth2::Oauth2>(),
        Kind::gate::<auth::open::Open>(),
        Kind::gate::<auth::query_auth::QueryAuth>(),
        Kind::gate::<auth::signature::Signature>(),
        Kind::gate::<gate::credential_cleanup::CredentialCleanup>(),
        Kind::gate::<gate::json_schema::JsonSchema>(),
        Kind::gate::<gate::rate_limit::RateLimit>(),
        Kind::gate::<gate::handshake::Handshake>(),
        Kind::gate::<gate::well_formed::WellFormed>(),
        Kind::stage::<buffer::embedded::Settings>(),
        Kind::stage::<buffer::memory::Settings>(),
        Kind::stage::<flow::by_webhook::ByWebhook>(),
        Kind::stage::<flow::chain::Chain>(),
        Kind::stage::<flow::retry::Retry>(),
        Kind::destination::<sink::http_webhook::HttpWebhook>(),
        Kind::destination::<sink::log::Log>(),
        Kind::destination::<sink::save_to_disk::SaveToDisk>(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    const FOLDERS: [&str; 5] = ["auth", "gate", "buffer", "flow", "sink"];

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)
    }

    /// The stages that the files of a folder are named after. A stage implements one of the three traits authors
    /// implement; other files are parts of stages.
    fn stages(name: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
        let with_root = entries.map(|path| {
            let root = if path.is_dir() { path.join("mod.rs") } else { path.clone() };
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), root)
        });
        let is_stage = |source: &str| {
            ["\nimpl Gate for ", "\nimpl Destination for ", "\nimpl Build for "]
                .iter()
                .any(|one| source.contains(one))
        };
        with_root
            .filter(|(_, root)| fs::read_to_string(root).is_ok_and(|source| is_stage(&source)))
            .map(|(stem, _)| stem)
            .collect()
    }

    #[test]
    fn every_file_has_its_row_and_every_row_its_file() {
        let files: BTreeSet<String> = FOLDERS.into_iter().flat_map(stages).collect();
        let rows: BTreeSet<String> = kinds().iter().map(|kind| kind.name.to_owned()).collect();
        assert_eq!(files, rows);
    }

    #[test]
    fn no_name_is_given_twice() {
        let kinds = kinds();
        let mut names = BTreeSet::new();
        for name in kinds.iter().flat_map(|kind| [&[kind.name], kind.aliases].concat()) {
            assert!(names.insert(name), "{name} is given twice");
        }
    }

    /// Every source file at and below `path`.
    fn sources(path: &Path) -> Vec<PathBuf> {
        if path.is_file() {
            return vec![path.to_owned()];
        }
        let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.flat_map(|entry| sources(&entry)).collect()
    }

    /// Every name by which a file that lies `depth` folders deep in its stage could reach the stage `other`.
    fn paths_to(folder: &str, other: &str, depth: usize) -> [String; 2] {
        [format!("{folder}::{other}"), format!(" {}{other}::", "super::".repeat(depth + 1))]
    }

    #[test]
    fn no_stage_knows_another() {
        for name in FOLDERS {
            for stage in stages(name) {
                let own = [folder(name).join(format!("{stage}.rs")), folder(name).join(&stage)];
                for file in own.iter().flat_map(|path| sources(path)) {
                    let source = fs::read_to_string(&file).unwrap();
                    let inner = file.strip_prefix(&own[1]).map_or(0, |inner| inner.iter().count());
                    // A folder's `mod.rs` is the stage itself.
                    let depth = inner - usize::from(inner > 0 && file.ends_with("mod.rs"));
                    let others = FOLDERS.into_iter().flat_map(|other| {
                        stages(other).into_iter().filter(|one| *one != stage).map(move |one| (other, one))
                    });
                    for (other, one) in others {
                        let named = paths_to(other, &one, depth);
                        assert!(!named.iter().any(|n| source.contains(n)), "{} knows {one}", file.display());
                    }
                }
            }
        }
    }

    /// Every field of a schema, with where it stands.
    fn undescribed(at: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            if field["description"].as_str().is_none_or(str::is_empty) {
                found.push(at.clone());
            }
            undescribed(&at, field, found);
        }
    }

    #[test]
    fn every_stage_and_every_setting_is_described() {
        let mut found = Vec::new();
        for kind in kinds() {
            let schema = (kind.schema)(&mut schemars::SchemaGenerator::default());
            let schema = serde_json::to_value(schema).unwrap();
            if schema["description"].as_str().is_none_or(str::is_empty) {
                found.push(kind.name.to_owned());
            }
            undescribed(kind.name, &schema, &mut found);
        }
        assert_eq!(found, Vec::<String>::new(), "a doc comment is missing");
    }
}
