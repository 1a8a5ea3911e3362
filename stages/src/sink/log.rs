//! The destination that prints.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use engine::failure::Failure;
use engine::kind::{Context, Destination, OpenError, Sink};
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Print a line about each webhook to standard output: its id, where it came in, its channel and its size.
///
/// A webhook counts as delivered once its line is written and flushed. While standard output is closed the destination
/// is unreachable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// Text to put before each line.
    #[serde(default)]
    prefix: String,
    /// Spread what is printed over several lines.
    #[serde(default)]
    pretty_print: bool,
    /// Accepted for compatibility. Headers and bodies are never printed, whatever it says.
    #[serde(default = "yes", rename = "redact_sensitive")]
    _redact_sensitive: bool,
}

fn yes() -> bool {
    true
}

/// Standard output, one writer at a time.
type Output = Arc<Mutex<File>>;

/// Prints to `output`.
pub(crate) struct Printer {
    prefix: String,
    pretty_print: bool,
    output: Output,
}

/// What is printed of a webhook. JSON, so that no id or channel can pretend to be a line of its own.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    webhook: &'a str,
    channel: &'a str,
    bytes: usize,
}

impl Destination for Log {
    const NAME: &'static str = "log";
    type Sink = Printer;

    async fn open(self, cx: &Context) -> Result<Printer, OpenError> {
        let open = || {
            // The handle of the standard library calls a write to a closed descriptor a success; a file does not.
            let own = std::io::stdout().as_fd().try_clone_to_owned();
            own.map(|own| Mutex::new(File::from(own)))
        };
        let output = cx.resources.get_or_make("standard output", open).map_err(|error| OpenError {
            what: format!("cannot open standard output: {error}"),
            help: Some("start the process with standard output open".to_owned()),
        })?;
        Ok(Printer { prefix: self.prefix, pretty_print: self.pretty_print, output })
    }
}

impl Sink for Printer {
    const BATCH: usize = 64;

    async fn deliver(&self, webhooks: &[Webhook]) -> Result<(), Failure> {
        let mut text = String::new();
        for webhook in webhooks {
            self.describe(webhook, &mut text)?;
        }
        let output = Arc::clone(&self.output);
        // A pipe that nobody reads holds the thread, so it is not one that others need.
        let written = tokio::task::spawn_blocking(move || write(&output, text.as_bytes())).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::unreachable(&format!("cannot write to standard output: {error}"))),
            Err(_) => Err(Failure::unreachable("the process is ending")),
        }
    }
}

impl Printer {
    fn describe(&self, webhook: &Webhook, text: &mut String) -> Result<(), Failure> {
        let line = Line {
            id: webhook.id().to_string(),
            webhook: &webhook.head.webhook,
            channel: &webhook.transit.channel,
            bytes: webhook.body.len(),
        };
        let line = if self.pretty_print {
            serde_json::to_string_pretty(&line)
        } else {
            serde_json::to_string(&line)
        };
        text.push_str(&self.prefix);
        text.push_str(&line.map_err(|error| Failure::permanent(&format!("cannot be printed: {error}")))?);
        text.push('\n');
        Ok(())
    }
}

fn write(output: &Mutex<File>, text: &[u8]) -> std::io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(text)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;
    use std::io::{Read, Seek};
    use std::os::fd::OwnedFd;

    fn printer(settings: &str, output: File) -> Printer {
        let log: Log = serde_json::from_str(settings).unwrap();
        Printer { prefix: log.prefix, pretty_print: log.pretty_print, output: Arc::new(Mutex::new(output)) }
    }

    #[tokio::test]
    async fn each_webhook_is_one_line_without_its_body() {
        let mut file = tempfile::tempfile().unwrap();
        let printer = printer(r#"{"prefix": "> "}"#, file.try_clone().unwrap());
        let webhooks = [webhook(&[], b"secret"), webhook(&[], b"")];
        printer.deliver(&webhooks).await.unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let expected: Vec<String> = webhooks
            .iter()
            .map(|w| {
                let (id, bytes) = (w.id(), w.body.len());
                format!(r#"> {{"id":"{id}","webhook":"orders","channel":"","bytes":{bytes}}}"#)
            })
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_closed_output_is_unreachable() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let printer = printer("{}", File::from(OwnedFd::from(writer)));
        let failure = printer.deliver(&[webhook(&[], b"")]).await.unwrap_err();
        assert!(
            matches!(failure, Failure::Transient { cause: engine::ack::Cause::Unreachable, .. }),
            "{failure:?}"
        );
    }

    #[test]
    fn what_the_reference_understands_is_understood() {
        let log: Log = serde_json::from_str(r#"{"pretty_print": true, "redact_sensitive": false}"#).unwrap();
        assert!(log.pretty_print);
        assert!(serde_json::from_str::<Log>(r#"{"prety_print": true}"#).is_err());
    }
}
