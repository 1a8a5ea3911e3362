//! GitHub's own example payloads and its own verification of signatures, as npm packages that are fetched, not copied.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::case::{Failed, ensure};
use crate::party::destination::Call;

/// The package whose examples are GitHub's own.
const EXAMPLES: &str = "@octokit/webhooks-examples@7.6.1";

/// The package by which GitHub's client library for Node.js verifies signatures.
const METHODS: &str = "@octokit/webhooks-methods@5.1.1";

/// Verifies each `{body, signature}` of a file and prints how many hold.
const SCRIPT: &str = r#"
import { readFileSync } from "node:fs";
import { verify } from "@octokit/webhooks-methods";
const [file, secret] = process.argv.slice(2);
let sound = 0;
for (const { body, signature } of JSON.parse(readFileSync(file, "utf8"))) {
  if (await verify(secret, body, signature)) sound += 1;
}
console.log(sound);
"#;

/// The packages, where npm put them.
#[derive(Debug)]
pub struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Fetches them with npm into `cache`, once; `scratch` is a folder beside it that may be used.
    ///
    /// # Errors
    /// npm cannot be run or fails; what it said.
    pub async fn fetch(cache: &Path, scratch: &Path) -> Result<Self, Failed> {
        let kept = Self { folder: cache.to_owned() };
        if kept.is_whole() {
            return Ok(kept);
        }
        std::fs::create_dir_all(scratch)?;
        let npm = Command::new("npm")
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", EXAMPLES, METHODS])
            .current_dir(scratch)
            .output()
            .await
            .map_err(|error| Failed(format!("npm cannot be run: {error}")))?;
        ensure(npm.status.success(), || format!("npm failed: {}", String::from_utf8_lossy(&npm.stderr)))?;
        // Two cases may fetch at once; whoever is first keeps the place.
        if std::fs::rename(scratch, cache).is_ok() || kept.is_whole() {
            Ok(kept)
        } else {
            Ok(Self { folder: scratch.to_owned() })
        }
    }

    fn is_whole(&self) -> bool {
        self.index().is_file() && self.folder.join("node_modules/@octokit/webhooks-methods").is_dir()
    }

    fn index(&self) -> PathBuf {
        self.folder.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json")
    }

    /// Returns every example payload with its event, each as text of its own.
    ///
    /// # Errors
    /// The package cannot be read.
    pub fn examples(&self) -> Result<Vec<(String, Bytes)>, Failed> {
        let events: Value = serde_json::from_str(&std::fs::read_to_string(self.index())?)?;
        let mut found = Vec::new();
        for event in events.as_array().into_iter().flatten() {
            let name = event["name"].as_str().unwrap_or_default();
            for example in event["examples"].as_array().into_iter().flatten() {
                found.push((name.to_owned(), Bytes::from(serde_json::to_vec_pretty(example)?)));
            }
        }
        Ok(found)
    }

    /// Has GitHub's client library verify the signature of each call over the body that came with it. Returns how many hold.
    ///
    /// # Errors
    /// Node.js cannot be run or fails; what it said.
    pub async fn verified(&self, calls: &[Call], secret: &str, scratch: &Path) -> Result<usize, Failed> {
        let all: Result<Vec<Value>, Failed> = calls
            .iter()
            .map(|call| {
                let body = std::str::from_utf8(&call.body)?;
                Ok(json!({ "body": body, "signature": call.header("x-hub-signature-256") }))
            })
            .collect();
        let file = scratch.join("calls.json");
        std::fs::write(&file, Value::Array(all?).to_string())?;
        // Beside the packages, so that Node.js finds them.
        let script = self.folder.join("verify.mjs");
        std::fs::write(&script, SCRIPT)?;
        let node = Command::new("node").arg(&script).arg(&file).arg(secret).output().await?;
        let said = String::from_utf8_lossy(&node.stdout).trim().parse();
        said.map_err(|_| Failed(format!("node failed: {}", String::from_utf8_lossy(&node.stderr))))
    }
}
