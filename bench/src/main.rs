//! Measures the real binary: `ingest`, `relay`, `idle`, `backlog`; and the gates alone: `auth`. Each prints JSON with every round and the spread.

mod auth;
mod backlog;
mod baseline;
mod idle;
mod ingest;
mod load;
mod product;
mod relay;
mod report;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use conformance::case::Failed;
use relay::Transport;
use report::Report;

/// Measures the real binary.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Durable ingest against a bare HTTP server, at 64 connections.
    Ingest(Rounds),
    /// From sender to a destination that prints to /dev/null, by every transport, against ingest alone.
    Relay(Relay),
    /// Memory of both ends that do nothing.
    Idle(Idle),
    /// Memory and restart of a receiver with many webhooks queued.
    Backlog(Backlog),
    /// What gates cost beside the bare check with the same crate.
    Auth {
        /// How often each side is measured, in turns.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// The bare HTTP server of `ingest`.
    #[command(hide = true)]
    Baseline,
}

/// How often and how long is measured.
#[derive(Args)]
struct Rounds {
    /// How often each side is measured, in turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each side is measured, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Args)]
struct Relay {
    #[command(flatten)]
    rounds: Rounds,
    /// Which transports are measured, in this order.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "websocket,websocket_compatible,sse,long_poll"
    )]
    transports: Vec<Transport>,
}

#[derive(Args)]
struct Idle {
    /// How long both ends do nothing, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How often is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Args)]
struct Backlog {
    /// Webhooks queued.
    #[arg(long, default_value_t = 1_000_000)]
    webhooks: u64,
    /// How often the receiver is killed and started again.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Failed::from).and_then(|runtime| runtime.block_on(measure(cli.bench)));
    match done {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(Failed(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(bench: Bench) -> Result<String, Failed> {
    let report: Report = match bench {
        Bench::Ingest(rounds) => ingest::measure(rounds.rounds, rounds.seconds).await?,
        Bench::Relay(Relay { rounds, transports }) => {
            relay::measure(rounds.rounds, rounds.seconds, &transports).await?
        }
        Bench::Idle(idle) => idle::measure(idle.rounds, idle.seconds).await?,
        Bench::Backlog(backlog) => backlog::measure(backlog.rounds, backlog.webhooks).await?,
        Bench::Auth { rounds } => auth::measure(rounds).await?,
        Bench::Baseline => return baseline::serve().await.map(|()| String::new()).map_err(Failed::from),
    };
    Ok(serde_json::to_string_pretty(&report)?)
}
