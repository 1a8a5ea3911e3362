//! The destination that writes files.
//!
//! The parts: [`pattern`] makes a file's name; [`description`] is what is written beside a body; [`writing`] makes it
//! durable.

mod description;
mod pattern;
mod writing;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use engine::config::{Faults, Node};
use engine::failure::Failure;
use engine::kind::{Context, Destination, OpenError, Sink};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use description::Description;
use pattern::Pattern;
use writing::Folder;

/// Save each webhook to a folder on this machine: its body byte for byte, and what is known about it beside it.
///
/// A webhook counts as delivered once its files and their folder are synced to the disk. A webhook that comes again
/// overwrites its own files. Files appear whole or not at all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaveToDisk {
    /// The folder that receives the files, made if missing. Relative to `base_dir`, or to the folder of the file that says
    /// it, which is also the default.
    #[serde(default = "here")]
    path: PathBuf,
    /// A folder that `path` must not leave, links included. None allows any.
    #[serde(default)]
    base_dir: Option<PathBuf>,
    /// How webhooks are written.
    #[serde(default)]
    format: Format,
    /// The name of each file, without its ending; for `jsonl`, of the file that takes lines. The placeholders `{id}`,
    /// `{webhook}`, `{channel}`, `{sequence}`, `{date}` and `{time}` stand for what is known; `/` begins a folder.
    /// Without `{id}` or `{sequence}`, `files` adds the id. Default: `{id}`, or `{date}` for `jsonl`.
    #[serde(default, alias = "filename_template")]
    filename_pattern: Option<Pattern>,
    /// The ending of a body's file, without its dot. `txt` and the like are for people; nothing is converted.
    #[serde(default = "bin")]
    file_extension: Extension,
    /// Write what is known about the webhook, its headers included, to a second file that ends in `.meta.json`.
    #[serde(default = "yes")]
    include_headers: bool,
    /// Make folders that are missing.
    #[serde(default = "yes")]
    create_dirs: bool,
}

/// How webhooks are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Format {
    /// A file for each body, and one for what is known about it.
    #[default]
    #[serde(alias = "raw", alias = "json")]
    Files,
    /// One JSON document per line; the body stands in it in base64. A webhook that comes again has a second line.
    Jsonl,
}

/// The ending of a file's name.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
struct Extension(String);

impl TryFrom<String> for Extension {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.strip_prefix('.').unwrap_or(&text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > 16 || !text.bytes().all(fits) {
            return Err("expected 1 to 16 letters and digits");
        }
        Ok(Self(text.to_owned()))
    }
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

fn bin() -> Extension {
    Extension("bin".to_owned())
}

fn yes() -> bool {
    true
}

impl Destination for SaveToDisk {
    const NAME: &'static str = "save_to_disk";
    type Sink = Saver;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let climbs = |path: &Path| path.components().any(|part| part == Component::ParentDir);
        if climbs(&self.path) {
            faults.add(&at.at().child("path"), "the path must not have `..`", None);
        }
        if self.base_dir.as_deref().is_some_and(climbs) {
            faults.add(&at.at().child("base_dir"), "the path must not have `..`", None);
        }
    }

    async fn open(self, _cx: &Context) -> Result<Saver, OpenError> {
        let given = self.filename_pattern;
        let pattern = match self.format {
            Format::Files => given.unwrap_or_else(Pattern::of_the_id).telling_apart(),
            Format::Jsonl => given.unwrap_or_else(Pattern::of_the_day),
        };
        let (path, base, create) = (self.path, self.base_dir, self.create_dirs);
        let shown = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Folder::open(&path, base.as_deref(), create)).await;
        let opened = opened.map_err(std::io::Error::other).and_then(|opened| opened);
        let folder = opened.map_err(|error| OpenError {
            what: format!("the folder {shown} cannot be used: {error}"),
            help: Some("create it, let this user write there, or choose another `path`".to_owned()),
        })?;
        Ok(Saver {
            folder: Arc::new(folder),
            pattern,
            format: self.format,
            extension: self.file_extension.0,
            describes: self.include_headers,
        })
    }
}

/// Saves to one folder.
pub(crate) struct Saver {
    folder: Arc<Folder>,
    pattern: Pattern,
    format: Format,
    extension: String,
    describes: bool,
}

impl Sink for Saver {
    const BATCH: usize = 16;

    async fn deliver(&self, webhooks: &[Webhook]) -> Result<(), Failure> {
        let work = webhooks.iter().map(|webhook| self.files(webhook)).collect::<Result<Vec<_>, _>>()?;
        let (folder, format) = (Arc::clone(&self.folder), self.format);
        let saved = tokio::task::spawn_blocking(move || match format {
            Format::Files => folder.write(&work),
            Format::Jsonl => folder.append(&work),
        });
        match saved.await {
            Ok(Ok(())) => Ok(()),
            // A full or missing disk is repaired on this machine; it is no judgement about the webhook.
            Ok(Err(error)) => Err(Failure::unreachable(&format!("cannot save: {error}"))),
            Err(_) => Err(Failure::unreachable("the process is ending")),
        }
    }
}

/// A file to be written: where, below the folder, and what.
pub(super) type ToWrite = (PathBuf, bytes::Bytes);

impl Saver {
    fn files(&self, webhook: &Webhook) -> Result<Vec<ToWrite>, Failure> {
        let name = self.pattern.name(webhook);
        let ending = |ending: &str| PathBuf::from(format!("{name}.{ending}"));
        let describe = |body| {
            let text = Description { webhook, body }.to_json();
            text.map_err(|error| Failure::permanent(&format!("cannot be described: {error}")))
        };
        Ok(match self.format {
            Format::Jsonl => vec![(ending("jsonl"), describe(true)?)],
            Format::Files => {
                let body = (ending(&self.extension), webhook.body.clone());
                // The body is last: whoever finds it finds the rest.
                match self.describes {
                    true => vec![(ending("meta.json"), describe(false)?), body],
                    false => vec![body],
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
