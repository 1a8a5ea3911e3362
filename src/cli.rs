//! The arguments.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, Args, Command as Arguments, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use engine::config::Secret;
use schemas::kinds::DocumentKind;

use crate::logging::Format;

/// A webhook relay that never loses what it answered 2xx.
///
/// Without a subcommand this is the connector: it reaches out to a receiver, takes the webhooks of its channels and
/// delivers them to destinations in its own network.
#[derive(Debug, Parser)]
#[command(name = "webhook-connect", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) connector: Connector,
    /// How log lines are written.
    #[arg(long, global = true, value_enum, default_value_t, env = "WEBHOOK_CONNECT_LOG_FORMAT")]
    pub(crate) log_format: Format,
}

impl Cli {
    /// Reads the arguments, and the variables that stand for them. A variable that is set to nothing counts as not set.
    /// Ends the process when they make no sense.
    pub(crate) fn read() -> Self {
        let matches = without_empty(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Forgets the variables that are set to nothing.
fn without_empty(arguments: Arguments) -> Arguments {
    let is_empty =
        |argument: &Arg| argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    let forget = |argument: Arg| if is_empty(&argument) { argument.env(None::<&str>) } else { argument };
    arguments.mut_args(forget).mut_subcommands(without_empty)
}

/// What else it can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes webhooks by HTTP, keeps them until a connector has delivered them.
    Receiver(Box<Receiver>),
    /// Checks files without starting anything, and tells every fault of all of them at once.
    Check(Check),
    /// Prints the graph of stages that a file describes, in the explicit form that runs the same.
    Plan(Plan),
    /// Prints the JSON Schema of a kind of file, for editors.
    Schema(Schema),
    /// Looks into the buffer of a receiver that does not run, takes webhooks out of it, and mends it.
    Buffer(Buffer),
    /// Balances the books of a receiver: what each channel accepted, and what became of it.
    Audit(Audit),
    /// Checks the guarantees: of a deployment that runs already, or of a connector.
    Conform(Box<Conform>),
    /// Shows on this machine that nothing is lost: kills both ends under load and counts.
    Demo(Demo),
}

/// The arguments of `buffer`.
#[derive(Debug, Args)]
pub(crate) struct Buffer {
    #[command(subcommand)]
    pub(crate) what: BufferCommand,
}

/// What is done with a buffer.
#[derive(Debug, Subcommand)]
pub(crate) enum BufferCommand {
    /// Reads everything, changes nothing, and tells what is wrong. Exit code 1 when something is.
    Verify {
        /// The buffer: embedded:FOLDER.
        #[arg(value_name = "URL")]
        url: String,
        /// How it is told.
        #[arg(long, value_enum, default_value_t)]
        format: Shown,
    },
    /// Writes every webhook that is there as a line of JSON, and changes nothing. Exit code 1 when something is wrong, after
    /// everything that can be read was written.
    Export {
        /// The buffer: embedded:FOLDER.
        #[arg(value_name = "URL")]
        url: String,
        /// Only the webhooks of these channels.
        #[arg(long, value_name = "NAME")]
        channel: Vec<String>,
        /// A new file to write to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Sets aside what is damaged, into the folder `quarantine`, and writes everything else anew. Tells what was wrong.
    Repair {
        /// The buffer: embedded:FOLDER.
        #[arg(value_name = "URL")]
        url: String,
        /// How it is told.
        #[arg(long, value_enum, default_value_t)]
        format: Shown,
    },
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The files: webhooks.json, receiver.json, connector.json, connections.json, explicit graphs, in any mix.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Reads no variable: what needs one and has no default counts as sound.
    #[arg(long)]
    pub(crate) no_secrets: bool,
    /// How it is told.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Telling,
    /// What the files are, where their keys do not tell.
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
}

/// How faults are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Telling {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Which webhooks a receiver takes.
    Webhooks,
    /// A receiver as a whole.
    Receiver,
    /// Where a connector's webhooks go.
    Connector,
    /// Settings that several destinations share.
    Connections,
    /// An explicit graph.
    Graph,
}

impl From<Kind> for DocumentKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Webhooks => Self::Webhooks,
            Kind::Receiver => Self::Receiver,
            Kind::Connector => Self::Connector,
            Kind::Connections => Self::Connections,
            Kind::Graph => Self::Graph,
        }
    }
}

/// The arguments of `schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The kind of file.
    #[arg(value_enum, value_name = "NAME")]
    pub(crate) kind: Kind,
}

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// webhooks.json, connector.json or an explicit graph.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How it is printed. The JSON is itself an explicit graph.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Drawing,
    /// What the file is, where its keys do not tell.
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
    /// Settings of the receiver as a whole (receiver.json), for webhooks.json.
    #[arg(long, value_name = "FILE")]
    pub(crate) receiver_config: Option<PathBuf>,
    /// Named connections (connections.json). Default: the file of that name beside FILE, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) connections: Option<PathBuf>,
}

/// How a graph is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// For people.
    #[default]
    Text,
    /// An explicit graph.
    Json,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

/// The arguments of `audit`. Exit code 0: balanced; 1: not; 3: the receiver cannot be reached, or refuses.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// The receiver: http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) receiver: String,
    /// The token of the receiver's admin API.
    #[arg(long, value_name = "TOKEN", env = "WEBHOOK_CONNECT_ADMIN_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) admin_token: Secret,
    /// A channel to look at; may be repeated. Default: all.
    #[arg(long = "channel", value_name = "NAME")]
    pub(crate) channels: Vec<String>,
    /// How it is told.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Table,
    /// Authorities that are trusted beside the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// How a balance is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// A table for people.
    #[default]
    Human,
    /// For programs.
    Json,
}

/// The arguments of `conform`. Exit code 0: every case that can run here passed; 1: some failed, or none could run; 3: the deployment cannot be
/// reached or refuses, or the channel is in use.
#[derive(Debug, Args)]
pub(crate) struct Conform {
    /// A receiver that runs already: http://HOST:PORT or https://HOST:PORT.
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "connector",
        required_unless_present = "connector",
        requires = "webhook",
        requires = "channel",
        requires = "token"
    )]
    pub(crate) receiver: Option<String>,
    /// A connector: the command that starts one, for `sh -c`. `{url}`, `{channel}`, `{token}` and `{destination}` in it are
    /// replaced; they are also in CLOUD_URL, CONNECTOR_CHANNEL, CONNECTOR_TOKEN and CONNECTOR_TARGET_URL.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) connector: Option<String>,
    /// The id of the webhook that is posted to.
    #[arg(long, value_name = "ID", requires = "receiver")]
    pub(crate) webhook: Option<String>,
    /// A header that the sender proves itself by, such as 'Authorization: Bearer ...'; may be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "receiver", value_parser = secret)]
    pub(crate) headers: Vec<Secret>,
    /// The channel that the webhook feeds. Nobody else may be connected to it.
    #[arg(long, value_name = "NAME", requires = "receiver")]
    pub(crate) channel: Option<String>,
    /// The channel's token.
    #[arg(long, value_name = "TOKEN", env = "CONNECTOR_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) token: Option<Secret>,
    /// The token of the receiver's admin API. Without it, the cases that read dead letters are skipped.
    #[arg(long, value_name = "TOKEN", env = "WEBHOOK_CONNECT_ADMIN_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) admin_token: Option<Secret>,
    /// Puts off for a minute what others have queued in the channel, instead of refusing to begin.
    #[arg(long, requires = "receiver")]
    pub(crate) take_over: bool,
    /// A case to run, by its id; may be repeated. Default: all.
    #[arg(long = "case", value_name = "ID")]
    pub(crate) cases: Vec<String>,
    /// How it is told.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) report: Verdicts,
    /// Authorities that are trusted beside the system's, as PEM.
    #[arg(long, value_name = "FILE", requires = "receiver")]
    pub(crate) tls_ca: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// How verdicts are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verdicts {
    /// A line per case, for people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// For build servers: JUnit XML.
    Junit,
}

/// The demonstration's arguments.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Stays up afterwards and prints a curl line to try.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The connector's arguments.
#[derive(Debug, Args)]
pub(crate) struct Connector {
    /// The routes: which channels go to which destinations (connector.json), or an explicit graph.
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Named connections (connections.json). Default: the file of that name beside the configuration, if there is one.
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CONNECTIONS_CONFIG")]
    pub(crate) connections: Option<PathBuf>,
    /// One channel, instead of a file: also CONNECTOR_CHANNEL. Needs a destination, the receiver's URL and the token.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub(crate) channel: Option<String>,
    /// Where the webhooks of the one channel go: http://…, https://… or log: Also CONNECTOR_TARGET_URL.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub(crate) destination: Option<String>,
    /// Only watch: see every webhook of the channel from now on, and settle none. Goes before the file.
    #[arg(long)]
    pub(crate) tap: bool,
    /// The receiver's URL. Goes before CLOUD_URL, which goes before the file.
    #[arg(long, value_name = "URL")]
    pub(crate) cloud_url: Option<String>,
    /// The token of every channel that has none of its own. Better in the environment (CONNECTOR_TOKEN), where other
    /// users do not see it; that goes before the file too.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The name of this connector in the receiver's status and logs. Goes before CONNECTOR_ID and the file.
    #[arg(long, value_name = "NAME")]
    pub(crate) connector_id: Option<String>,
    /// How to speak to the receiver: auto, websocket, websocket_compatible, sse or long_poll. Default: auto.
    /// Goes before CONNECTOR_PROTOCOL and the file, like the flags below before CONNECTOR_CA_CERT_PATH,
    /// CONNECTOR_CLIENT_CERT_PATH and CONNECTOR_CLIENT_KEY_PATH.
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// Authorities that are trusted beside the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<String>,
    /// The certificate to show to the receiver, as PEM. Needs --tls-key.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Serves /health and /status at this address.
    #[arg(long, value_name = "ADDRESS", env = "WEBHOOK_CONNECT_STATUS")]
    pub(crate) status: Option<SocketAddr>,
    /// Seconds that deliveries in flight may take to finish after SIGTERM, or when their route is replaced.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, env = "CONNECTOR_DRAIN_SECONDS")]
    pub(crate) drain_seconds: u64,
    /// Looks every so many seconds whether a file of the configuration has changed, and reads them again then, as at
    /// SIGHUP. 0: only at SIGHUP, or when the admin API is asked.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, env = "WEBHOOK_CONNECT_WATCH_SECONDS")]
    pub(crate) watch_seconds: u64,
}

/// The receiver's arguments. Each goes before its environment variable, which goes before receiver.json.
#[derive(Debug, Args)]
pub(crate) struct Receiver {
    /// The webhooks that are taken (webhooks.json), or an explicit graph.
    #[arg(long, value_name = "FILE", default_value = "webhooks.json", env = "WEBHOOK_CONNECT_CONFIG")]
    pub(crate) config: PathBuf,
    /// Named connections (connections.json). Default: the file of that name beside the configuration, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) connections: Option<PathBuf>,
    /// Settings of the receiver as a whole (receiver.json).
    #[arg(long, value_name = "FILE")]
    pub(crate) receiver_config: Option<PathBuf>,
    /// Looks every so many seconds whether a file of the configuration has changed, and reads them again then, as at
    /// SIGHUP. 0: only at SIGHUP, or when the admin API is asked.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, env = "WEBHOOK_CONNECT_WATCH_SECONDS")]
    pub(crate) watch_seconds: u64,
    /// Where to listen. Default: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where webhooks are kept: embedded:FOLDER or memory: (default: embedded:./data).
    #[arg(long, value_name = "URL")]
    pub(crate) buffer: Option<String>,
    /// The token of every channel that has none of its own.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) channel_token: Option<String>,
    /// The token of the admin API, which is off without one.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) admin_token: Option<String>,
    /// The certificate to listen with, as PEM. Needs --tls-key.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// The authorities of connectors' certificates, as PEM: connectors need one.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<String>,
    /// Listens without TLS on other addresses than the loopback: behind a proxy that speaks TLS.
    #[arg(long)]
    pub(crate) insecure_http: bool,
}
