//! The command line of Webhook Connect: the connector by default, everything else by name.

mod audit;
mod buffer;
mod check;
mod cli;
mod config;
mod conform;
mod connector;
mod demo;
mod failure;
mod load;
mod logging;
mod plan;
mod receiver;
mod reload;
mod schema;
mod secrets;
mod stop;
mod watch;

use std::process::ExitCode;

use cli::{Cli, Command};
use failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match &cli.command {
        // These start nothing.
        Some(Command::Check(options)) => return check::run(options),
        Some(Command::Plan(options)) => return plan::run(options),
        Some(Command::Schema(options)) => return schema::run(options),
        Some(Command::Buffer(options)) => return buffer::run(options),
        Some(Command::Receiver(_) | Command::Demo(_) | Command::Audit(_) | Command::Conform(_)) | None => {}
    }
    // Some client libraries bring no provider and panic without a default one.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Failure::other("the TLS provider cannot be installed"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(async {
        match cli.command {
            Some(Command::Receiver(options)) => receiver::run(*options, cli.log_format).await,
            Some(Command::Demo(options)) => demo::run(options).await,
            Some(Command::Audit(options)) => audit::run(options).await,
            Some(Command::Conform(options)) => conform::run(*options).await,
            Some(Command::Check(_) | Command::Plan(_) | Command::Schema(_) | Command::Buffer(_)) => Ok(()),
            None => connector::run(cli.connector, cli.log_format).await,
        }
    })
}
