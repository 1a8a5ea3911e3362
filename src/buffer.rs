//! `webhook-connect buffer`: what operators do with a buffer that no receiver has open.

mod line;
mod report;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use stages::store::{self, Report};

use crate::cli::{self, BufferCommand, Shown};
use crate::failure::Failure;

/// Verifies, exports or repairs a buffer.
///
/// # Errors
/// It cannot be opened, or something is wrong with what it holds.
pub(crate) fn run(options: &cli::Buffer) -> Result<(), Failure> {
    let (found, format) = match &options.what {
        BufferCommand::Verify { url, format } => {
            let found =
                store::verify(&folder(url)?).map_err(|error| Failure::Configuration(error.to_string()))?;
            print(&report::told(&found, *format));
            (found, *format)
        }
        BufferCommand::Export { url, channel, to } => {
            let found = export(&folder(url)?, channel, to.as_deref())?;
            // The webhooks went to standard output.
            eprint!("{}", report::told(&found, Shown::Human));
            (found, Shown::Human)
        }
        BufferCommand::Repair { url, format } => {
            let path = folder(url)?;
            let found = store::repair(&path).map_err(|error| Failure::Configuration(error.to_string()))?;
            print(&report::told(&found, *format));
            if *format == Shown::Human {
                print(&report::repaired(&found, &path));
            }
            return Ok(());
        }
    };
    match (found.findings.is_empty(), format) {
        (true, _) => Ok(()),
        (false, Shown::Human) => {
            Err(Failure::other("the buffer is damaged; `webhook-connect buffer repair` mends it"))
        }
        (false, Shown::Json) => Err(Failure::Found),
    }
}

/// Returns the folder of a buffer.
fn folder(url: &str) -> Result<PathBuf, Failure> {
    match url.split_once(':') {
        Some(("embedded", path)) if !path.is_empty() => Ok(path.into()),
        Some(_) | None => {
            let help = "expected embedded:FOLDER, as the receiver has it in `buffer.url` or --buffer";
            Err(Failure::Configuration(format!("{url}: {help}")))
        }
    }
}

fn export(path: &Path, channels: &[String], to: Option<&Path>) -> Result<Report, Failure> {
    let mut out: Box<dyn Write> = match to {
        Some(to) => {
            let file = File::create_new(to);
            Box::new(BufWriter::new(
                file.map_err(|error| Failure::other(format!("{} cannot be written: {error}", to.display())))?,
            ))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let exported = store::export(path, |channel, webhook, standing| {
        if !channels.is_empty() && !channels.iter().any(|wanted| wanted == channel) {
            return Ok(());
        }
        writeln!(out, "{}", line::of(channel, webhook, standing))
    });
    let report = exported.map_err(|error| Failure::Configuration(error.to_string()))?;
    out.flush().map_err(|error| Failure::other(format!("not everything could be written: {error}")))?;
    Ok(report)
}

fn print(text: &str) {
    // A reader that has gone away has seen enough.
    drop(io::stdout().write_all(text.as_bytes()));
}
