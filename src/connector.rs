//! `webhook-connect`: takes webhooks from a receiver and delivers them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector::Admin;
use engine::config::{Environment, Lookup, Node, Pointer, Secret, Variables};
use engine::kind::Kind;
use engine::pipeline::{Opened, Pipelines, Reload, Surroundings};
use schemas::kinds::DocumentKind;
use schemas::receiver::Flags;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli;
use crate::config::{CONNECTIONS, File, log_warnings, refuse_faults};
use crate::failure::Failure;
use crate::load::{self, Beside};
use crate::logging::{self, Format};
use crate::reload::{Read, Reloader, on_hangup};
use crate::secrets::Secrets;
use crate::stop;
use crate::watch::Watch;

/// The variable with the token of the admin API, which is off without one.
const ADMIN_TOKEN: &str = "WEBHOOK_CONNECT_ADMIN_TOKEN";

/// Runs a connector until it is told to stop and everything in flight has ended.
///
/// # Errors
/// The configuration is at fault, or something cannot be opened: a destination, the port of the status.
pub(crate) async fn run(options: cli::Connector, log_format: Format) -> Result<(), Failure> {
    let kinds: Arc<[Kind]> = load::connector_kinds().into();
    let mut files = Vec::new();
    let read = read(&options, &kinds, &mut files)?;
    logging::start(log_format, Some(1))?;
    log_warnings(&read.files.iter().collect::<Vec<_>>());
    let mut watch = Watch::new(Duration::from_secs(options.watch_seconds));
    watch.set(files);
    let (stop, hangup) = (stop::on_signals()?, on_hangup()?);
    let surroundings = Surroundings::new(Arc::clone(&kinds), stop.clone());
    let (reload, asked) = Reload::new();
    if let Some(address) = options.status {
        let token = Environment.get(ADMIN_TOKEN).map(Secret::new).filter(|token| !token.is_empty());
        let admin = token.map(|token| Admin { token, reload: reload.clone() });
        serve_status(address, &surroundings, admin).await?;
    }
    let opened =
        Opened::all(read.plans, &surroundings).await.map_err(|error| Failure::other(error.to_string()))?;
    info!(channels = opened.len(), pid = std::process::id(), "starting");
    let drain = Duration::from_secs(options.drain_seconds);
    let reloader = Reloader {
        pipelines: Pipelines::run(opened, &surroundings),
        read: move |tried: &mut Vec<PathBuf>| self::read(&options, &kinds, tried),
        watch,
        asked,
        hangup,
        grace: drain,
    };
    let mut pipelines = reloader.run(stop).await;
    drop(reload);
    if tokio::time::timeout(drain, pipelines.ended()).await.is_err() {
        warn!("not everything in flight ended in time; the receiver delivers it again");
    }
    info!("stopped");
    Ok(())
}

async fn serve_status(
    address: std::net::SocketAddr,
    surroundings: &Surroundings,
    admin: Option<Admin>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::other(format!("cannot listen at {address}: {error}")))?;
    let address = listener.local_addr().map_err(|error| Failure::other(error.to_string()))?;
    info!(%address, "serving the status");
    tokio::spawn(connector::serve_status(listener, surroundings.clone(), admin));
    Ok(())
}

/// Reads all files and checks everything that can be checked without opening anything. `tried` are those it looked for.
fn read(options: &cli::Connector, kinds: &[Kind], tried: &mut Vec<PathBuf>) -> Result<Read, Failure> {
    if let Some(path) = &options.config {
        return read_file(path, options, kinds, tried);
    }
    let or_set = |flag: &Option<String>, name| {
        flag.clone().or_else(|| Environment.get(name)).filter(|text| !text.is_empty())
    };
    let channel = or_set(&options.channel, "CONNECTOR_CHANNEL");
    let destination = or_set(&options.destination, "CONNECTOR_TARGET_URL");
    match (channel, destination) {
        (Some(channel), Some(destination)) => read_one_channel(&channel, &destination, options, kinds),
        (Some(_), None) => Err(Failure::Configuration("--channel needs --destination".to_owned())),
        (None, Some(_)) => Err(Failure::Configuration("--destination needs --channel".to_owned())),
        (None, None) => {
            let help = "say what to connect: --config connector.json, or --channel NAME --destination URL";
            Err(Failure::Configuration(help.to_owned()))
        }
    }
}

fn read_one_channel(
    channel: &str,
    destination: &str,
    options: &cli::Connector,
    kinds: &[Kind],
) -> Result<Read, Failure> {
    let mut file = File::command_line();
    let missing = |what| Failure::Configuration(format!("--channel needs {what}"));
    let root = Node::new(serde_json::json!({}), Pointer::root());
    let root = schemas::connector::overlay(&root, &Environment, &flags(options));
    let cloud = root.get("cloud").unwrap_or_else(|| root.clone());
    let url = cloud.get("url").ok_or_else(|| missing("CLOUD_URL or --cloud-url"))?;
    let token = cloud.get("token").ok_or_else(|| missing("CONNECTOR_TOKEN or --token"))?;
    let (url, token) = (url.text().unwrap_or_default(), token.text().unwrap_or_default());
    let drafts = schemas::connector::one_channel((&root, channel), destination, url, token, &mut file.faults);
    let plans = load::plans(&mut file, DocumentKind::Connector, drafts, kinds);
    refuse_faults(&[&file])?;
    Ok(Read { plans, files: vec![file], needs_restart: Vec::new() })
}

fn read_file(
    path: &Path,
    options: &cli::Connector,
    kinds: &[Kind],
    tried: &mut Vec<PathBuf>,
) -> Result<Read, Failure> {
    tried.push(path.to_owned());
    let secrets = Secrets::default();
    let variables = Variables::Known(&secrets);
    let mut file = File::read(path, variables)?;
    let kind = load::kind_for(&mut file, DocumentKind::Connector);
    let named = options.connections.clone().or_else(|| load::named_connections(&file, kind));
    let implied = path.with_file_name(CONNECTIONS);
    tried.push(named.clone().unwrap_or_else(|| implied.clone()));
    let is_connector = kind == DocumentKind::Connector;
    tried.extend(file.names("webhooks_config").filter(|_| is_connector));
    let mut connections = File::read_beside(named.as_deref(), &implied, variables)?;
    let named = load::connections(connections.as_mut());
    let webhooks = load::follow_paths(&mut file, kind, variables)?;
    tried.extend(secrets.files());
    if is_connector {
        file.root = file.root.map(|root| schemas::connector::overlay(&root, &Environment, &flags(options)));
    }
    let drafts = load::drafts(&mut file, kind, &Beside { receiver: None, connections: &named });
    let plans = load::plans(&mut file, kind, drafts, kinds);
    let files: Vec<File> = [file].into_iter().chain(connections).chain(webhooks).collect();
    refuse_faults(&files.iter().collect::<Vec<_>>())?;
    Ok(Read { plans, files, needs_restart: Vec::new() })
}

/// Returns the flags that were given, each as the key of `connector.json` it stands for.
fn flags(options: &cli::Connector) -> Flags {
    let tap = options.tap.then(|| "true".to_owned());
    let texts: [(&'static [&'static str], &Option<String>); 8] = [
        (&["cloud", "url"], &options.cloud_url),
        (&["cloud", "token"], &options.token),
        (&["connector_id"], &options.connector_id),
        (&["protocol"], &options.protocol),
        (&["tap"], &tap),
        (&["tls", "ca"], &options.tls_ca),
        (&["tls", "cert"], &options.tls_cert),
        (&["tls", "key"], &options.tls_key),
    ];
    texts.into_iter().filter_map(|(keys, text)| Some((keys, text.clone()?))).collect()
}
