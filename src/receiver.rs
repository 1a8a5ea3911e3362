//! `webhook-connect receiver`: takes webhooks, keeps them, hands them to connectors.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::config::Environment;
use engine::graph::plan::Plan;
use engine::kind::{Kind, Resources};
use engine::meter::Meter;
use engine::pipeline::{Opened, Pipelines, Surroundings};
use schemas::connections::Connections;
use schemas::receiver::{Flags, Receiver};
use schemas::webhooks;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli;
use crate::config::{File, log_warnings, plan, refuse_faults};
use crate::failure::Failure;
use crate::logging::{self, Format};
use crate::stop;

/// Runs a receiver until it is told to stop and everything in flight has ended.
///
/// # Errors
/// The configuration is at fault, or something cannot be opened: the folder of the buffer, the port.
pub(crate) async fn run(options: cli::Receiver, log_format: Format) -> Result<(), Failure> {
    let kinds: Arc<[Kind]> = stages::registry::kinds().into_iter().chain(cloud::kinds()).collect();
    let (settings, plans, files) = read(&options, &kinds)?;
    logging::start(log_format, settings.flow_log.enabled.then_some(settings.flow_log.sample))?;
    log_warnings(&files.iter().collect::<Vec<_>>());
    let stop = stop::on_signals()?;
    let (meter, resources) = (Meter::default(), Resources::default());
    let surroundings =
        Surroundings { kinds, meter: meter.clone(), resources: resources.clone(), stop: stop.clone() };
    let mut opened = Vec::with_capacity(plans.len());
    for plan in plans {
        opened
            .push(Opened::new(plan, &surroundings).await.map_err(|error| Failure::other(error.to_string()))?);
    }
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| Failure::other(format!("cannot listen at {}: {error}", settings.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::other(error.to_string()))?;
    let drain = Duration::from_secs(settings.drain_seconds);
    let mut pipelines = Pipelines::run(opened, &surroundings);
    info!(%address, pid = std::process::id(), "listening");
    cloud::serve(listener, serving(settings), resources, meter, stop)
        .await
        .map_err(|error| Failure::other(format!("the listener failed: {error}")))?;
    if tokio::time::timeout(drain, pipelines.ended()).await.is_err() {
        warn!("not everything in flight ended in time; it is delivered again after the next start");
    }
    info!("stopped");
    Ok(())
}

/// Reads all files and checks everything that can be checked without opening anything.
fn read(options: &cli::Receiver, kinds: &Arc<[Kind]>) -> Result<(Receiver, Vec<Plan>, Vec<File>), Failure> {
    let mut webhooks = File::read(&options.config)?;
    let mut own = options.receiver_config.as_deref().map_or_else(|| Ok(File::command_line()), File::read)?;
    let folder = own.folder().to_owned();
    let root = own.root();
    let settings =
        schemas::receiver::read(root.as_ref(), &folder, &Environment, &flags(options), &mut own.faults);
    let mut connections =
        File::read_beside(options.connections.as_deref(), Path::new(&options.config), "connections.json")?;
    let named = match &mut connections {
        Some(file) => Connections::read(file.root().as_ref(), &mut file.faults),
        None => Connections::read(None, &mut own.faults),
    };
    let mut plans = Vec::new();
    if let (Some(settings), Some(root)) = (&settings, webhooks.root()) {
        let drafts = webhooks::read(&root, settings, &named, &mut webhooks.faults);
        plans = plan(drafts, kinds, &mut webhooks);
    }
    let files: Vec<File> = [own, webhooks].into_iter().chain(connections).collect();
    refuse_faults(&files.iter().collect::<Vec<_>>())?;
    let settings = settings.ok_or_else(|| Failure::other("the receiver's settings cannot be read"))?;
    Ok((settings, plans, files))
}

/// Returns the flags that were given, each as the key of `receiver.json` it stands for.
fn flags(options: &cli::Receiver) -> Flags {
    let mut flags = Flags::new();
    let texts: [(&'static [&'static str], &Option<String>); 4] = [
        (&["listen"], &options.listen),
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

fn serving(settings: Receiver) -> cloud::Settings {
    cloud::Settings {
        max_body_bytes: settings.max_body_bytes,
        admin_token: settings.admin_token,
        trusted_proxies: settings.trusted_proxies,
        drain: Duration::from_secs(settings.drain_seconds),
        head_timeout: Duration::from_secs(settings.head_timeout_seconds),
        body_timeout: Duration::from_secs(settings.body_timeout_seconds),
        ..cloud::Settings::default()
    }
}
