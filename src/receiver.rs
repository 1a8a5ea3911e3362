//! `webhook-connect receiver`: takes webhooks, keeps them, hands them to connectors.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloud::{Tls, TlsFiles};
use engine::config::{Environment, Variables};
use engine::kind::Kind;
use engine::pipeline::{Opened, Pipelines, Reload, Surroundings};
use schemas::kinds::DocumentKind;
use schemas::receiver::{Flags, Receiver};
use tokio::net::{TcpListener, TcpSocket};
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

/// How long connectors may take to settle what they hold when a pipeline is replaced. What they have not by then they are
/// told again, and do not deliver twice.
const REPLACING: Duration = Duration::from_secs(2);

/// How long the last changes of state may take to become durable.
const LAST_CHANGES: Duration = Duration::from_secs(5);

/// Runs a receiver until it is told to stop and everything in flight has ended.
///
/// # Errors
/// The configuration is at fault, or something cannot be opened: the folder of the buffer, the port.
pub(crate) async fn run(options: cli::Receiver, log_format: Format) -> Result<(), Failure> {
    let kinds: Arc<[Kind]> = load::receiver_kinds().into();
    let mut files = Vec::new();
    let (settings, read) = read(&options, &kinds, None, &mut files)?;
    logging::start(log_format, settings.flow_log.enabled.then_some(settings.flow_log.sample))?;
    log_warnings(&read.files.iter().collect::<Vec<_>>());
    let mut watch = Watch::new(Duration::from_secs(options.watch_seconds));
    watch.set(files);
    let tls = open_tls(&settings)?;
    let (stop, hangup) = (stop::on_signals()?, on_hangup()?);
    let surroundings = Surroundings::new(Arc::clone(&kinds), stop.clone());
    let opened =
        Opened::all(read.plans, &surroundings).await.map_err(|error| Failure::other(error.to_string()))?;
    let listener = listen(settings.listen)
        .map_err(|error| Failure::other(format!("cannot listen at {}: {error}", settings.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::other(error.to_string()))?;
    let pipelines = Pipelines::run(opened, &surroundings);
    let (reload, asked) = Reload::new();
    let in_force = settings.clone();
    let reloader = Reloader {
        pipelines,
        read: move |tried: &mut Vec<PathBuf>| read_again(&options, &kinds, &in_force, tried),
        watch,
        asked,
        hangup,
        grace: REPLACING,
    };
    let reloading = tokio::spawn(reloader.run(stop));
    info!(%address, pid = std::process::id(), tls = settings.tls.is_some(), "listening");
    cloud::serve(listener, serving(settings, tls, reload), &surroundings)
        .await
        .map_err(|error| Failure::other(format!("the listener failed: {error}")))?;
    let mut pipelines = reloading.await.map_err(|error| Failure::other(error.to_string()))?;
    // Everything was finished or given back by now; what is left is to write that down.
    if tokio::time::timeout(LAST_CHANGES, pipelines.ended()).await.is_err() {
        warn!("not everything could be written down in time; it is delivered again after the next start");
    }
    info!("stopped");
    Ok(())
}

/// Connections that wait to be accepted, as far as the system allows. One beyond them is dialled again by its peer's system,
/// after a second: all connectors of a receiver that restarts come at once.
const BACKLOG: u32 = 4_096;

/// Listens at an address.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A receiver that restarts takes its port back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Reads everything once more, beside the settings in force.
fn read_again(
    options: &cli::Receiver,
    kinds: &[Kind],
    in_force: &Receiver,
    tried: &mut Vec<PathBuf>,
) -> Result<Read, Failure> {
    let (settings, mut read) = read(options, kinds, Some(in_force), tried)?;
    read.needs_restart = settings.needs_restart(in_force).into_iter().map(str::to_owned).collect();
    Ok(read)
}

/// Reads all files and checks everything that can be checked without opening anything. `tried` are those it looked for.
fn read(
    options: &cli::Receiver,
    kinds: &[Kind],
    in_force: Option<&Receiver>,
    tried: &mut Vec<PathBuf>,
) -> Result<(Receiver, Read), Failure> {
    let implied = options.config.with_file_name(CONNECTIONS);
    tried.push(options.config.clone());
    tried.push(options.connections.clone().unwrap_or_else(|| implied.clone()));
    tried.extend(options.receiver_config.clone());
    let secrets = Secrets::default();
    let variables = Variables::Known(&secrets);
    let mut webhooks = File::read(&options.config, variables)?;
    let mut own = match &options.receiver_config {
        Some(path) => File::read(path, variables)?,
        None => File::command_line(),
    };
    let folder = own.folder().to_owned();
    let root = own.root();
    let settings =
        schemas::receiver::read(root.as_ref(), &folder, &Environment, &flags(options), &mut own.faults);
    if let (Some(settings), Some(in_force)) = (&settings, in_force) {
        settings.refuse_other_buffer(in_force, &mut own.faults);
    }
    let mut connections = File::read_beside(options.connections.as_deref(), &implied, variables)?;
    tried.extend(secrets.files());
    let named = load::connections(connections.as_mut());
    let kind = load::kind_for(&mut webhooks, DocumentKind::Webhooks);
    let beside = Beside { receiver: settings.as_ref(), connections: &named };
    let drafts = load::drafts(&mut webhooks, kind, &beside);
    let plans = load::plans(&mut webhooks, kind, drafts, kinds);
    let files: Vec<File> = [own, webhooks].into_iter().chain(connections).collect();
    refuse_faults(&files.iter().collect::<Vec<_>>())?;
    let settings = settings.ok_or_else(|| Failure::other("the receiver's settings cannot be read"))?;
    Ok((settings, Read { plans, files, needs_restart: Vec::new() }))
}

/// Returns the flags that were given, each as the key of `receiver.json` it stands for.
fn flags(options: &cli::Receiver) -> Flags {
    let mut flags = Flags::new();
    let texts: [(&'static [&'static str], &Option<String>); 7] = [
        (&["listen"], &options.listen),
        (&["tls", "cert"], &options.tls_cert),
        (&["tls", "key"], &options.tls_key),
        (&["tls", "client_ca"], &options.tls_client_ca),
        (&["buffer", "url"], &options.buffer),
        (&["channel_token"], &options.channel_token),
        (&["admin_token"], &options.admin_token),
    ];
    flags.extend(texts.into_iter().filter_map(|(keys, text)| Some((keys, text.clone()?))));
    if options.insecure_http {
        flags.push((&["insecure_http"], "true".to_owned()));
    }
    flags
}

/// Reads the certificate, if there is to be one.
fn open_tls(settings: &Receiver) -> Result<Option<Tls>, Failure> {
    let Some(tls) = settings.tls.clone() else { return Ok(None) };
    let files = TlsFiles { cert: tls.cert, key: tls.key, client_ca: tls.client_ca };
    let tls = Tls::open(files).map_err(|error| Failure::other(format!("cannot listen with TLS: {error}")))?;
    Ok(Some(tls))
}

fn serving(settings: Receiver, tls: Option<Tls>, reload: Reload) -> cloud::Settings {
    cloud::Settings {
        tls,
        reload: Some(reload),
        max_body_bytes: settings.max_body_bytes,
        admin_token: settings.admin_token,
        allow_query_token: settings.allow_query_token,
        trusted_proxies: settings.trusted_proxies,
        drain: Duration::from_secs(settings.drain_seconds),
        head_timeout: Duration::from_secs(settings.head_timeout_seconds),
        body_timeout: Duration::from_secs(settings.body_timeout_seconds),
        ..cloud::Settings::default()
    }
}
