//! The arguments.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

/// What else it can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes webhooks by HTTP, keeps them until a connector has delivered them.
    Receiver(Box<Receiver>),
    /// Shows on this machine that nothing is lost: kills both ends under load and counts.
    Demo(Demo),
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
    /// The routes: which channels go to which destinations (connector.json).
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Named connections (connections.json). Default: the file of that name beside the configuration, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) connections: Option<PathBuf>,
    /// One channel, instead of a file. Needs --destination, and the receiver's URL and the token.
    #[arg(long, value_name = "NAME", requires = "destination", conflicts_with = "config")]
    pub(crate) channel: Option<String>,
    /// Where the webhooks of --channel go: http://…, https://… or log:
    #[arg(long, value_name = "URL", requires = "channel")]
    pub(crate) destination: Option<String>,
    /// The receiver's URL, for --channel.
    #[arg(long, value_name = "URL", env = "CLOUD_URL")]
    pub(crate) cloud_url: Option<String>,
    /// The channel's token, for --channel. Better in the environment, where other users do not see it.
    #[arg(long, value_name = "TOKEN", env = "CONNECTOR_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// How to speak to the receiver: auto, websocket, websocket_compatible, sse or long_poll. Default: auto.
    #[arg(long, value_name = "NAME", env = "CONNECTOR_PROTOCOL")]
    pub(crate) protocol: Option<String>,
    /// Authorities that are trusted beside the system's, as PEM.
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CA_CERT_PATH")]
    pub(crate) tls_ca: Option<String>,
    /// The certificate to show to the receiver, as PEM. Needs --tls-key.
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CLIENT_CERT_PATH")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key, as PEM.
    #[arg(long, value_name = "FILE", env = "CONNECTOR_CLIENT_KEY_PATH")]
    pub(crate) tls_key: Option<String>,
    /// Serves /health and /status at this address.
    #[arg(long, value_name = "ADDRESS", env = "WEBHOOK_CONNECT_STATUS")]
    pub(crate) status: Option<SocketAddr>,
    /// Seconds that deliveries in flight may take to finish after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) drain_seconds: u64,
}

/// The receiver's arguments. Each goes before its environment variable, which goes before receiver.json.
#[derive(Debug, Args)]
pub(crate) struct Receiver {
    /// The webhooks that are taken (webhooks.json).
    #[arg(long, value_name = "FILE", default_value = "webhooks.json", env = "WEBHOOK_CONNECT_CONFIG")]
    pub(crate) config: PathBuf,
    /// Named connections (connections.json). Default: the file of that name beside the configuration, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) connections: Option<PathBuf>,
    /// Settings of the receiver as a whole (receiver.json).
    #[arg(long, value_name = "FILE")]
    pub(crate) receiver_config: Option<PathBuf>,
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
