//! `webhook-connect`: takes webhooks from a receiver and delivers them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::graph::plan::Plan;
use engine::kind::{Kind, Resources};
use engine::meter::Meter;
use engine::pipeline::{Opened, Pipelines, Surroundings};
use schemas::connections::Connections;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::cli;
use crate::config::{File, log_warnings, plan, refuse_faults};
use crate::failure::Failure;
use crate::logging::{self, Format};
use crate::stop;

/// Runs a connector until it is told to stop and everything in flight has ended.
///
/// # Errors
/// The configuration is at fault, or something cannot be opened: a destination, the port of the status.
pub(crate) async fn run(options: cli::Connector, log_format: Format) -> Result<(), Failure> {
    let kinds: Arc<[Kind]> = stages::registry::kinds().into_iter().chain(connector::kinds()).collect();
    let (plans, files) = read(&options, &kinds)?;
    logging::start(log_format, Some(1))?;
    log_warnings(&files.iter().collect::<Vec<_>>());
    let mut stop = stop::on_signals()?;
    let (meter, resources) = (Meter::default(), Resources::default());
    if let Some(address) = options.status {
        serve_status(address, &resources, &meter, stop.clone()).await?;
    }
    let surroundings = Surroundings { kinds, meter, resources, stop: stop.clone() };
    let mut opened = Vec::with_capacity(plans.len());
    for plan in plans {
        opened
            .push(Opened::new(plan, &surroundings).await.map_err(|error| Failure::other(error.to_string()))?);
    }
    info!(channels = opened.len(), pid = std::process::id(), "starting");
    let mut pipelines = Pipelines::run(opened, &surroundings);
    // Whoever could say stop lives as long as the process.
    drop(stop.wait_for(|stop| *stop).await);
    if tokio::time::timeout(Duration::from_secs(options.drain_seconds), pipelines.ended()).await.is_err() {
        warn!("not everything in flight ended in time; the receiver delivers it again");
    }
    info!("stopped");
    Ok(())
}

async fn serve_status(
    address: std::net::SocketAddr,
    resources: &Resources,
    meter: &Meter,
    stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::other(format!("cannot listen at {address}: {error}")))?;
    let address = listener.local_addr().map_err(|error| Failure::other(error.to_string()))?;
    info!(%address, "serving the status");
    let (resources, meter) = (resources.clone(), meter.clone());
    tokio::spawn(connector::serve_status(listener, resources, meter, stop));
    Ok(())
}

/// Reads all files and checks everything that can be checked without opening anything.
fn read(options: &cli::Connector, kinds: &Arc<[Kind]>) -> Result<(Vec<Plan>, Vec<File>), Failure> {
    let (mut file, others, drafts) = match (&options.config, &options.channel, &options.destination) {
        (Some(path), ..) => read_file(path, options.connections.as_deref())?,
        (None, Some(channel), Some(destination)) => {
            let mut file = File::command_line();
            let missing = |what| Failure::Configuration(format!("--channel needs {what}"));
            let url = options.cloud_url.as_ref().ok_or_else(|| missing("CLOUD_URL or --cloud-url"))?;
            let token = options.token.as_ref().ok_or_else(|| missing("CONNECTOR_TOKEN or --token"))?;
            let drafts = schemas::connector::one_channel(channel, destination, url, token, &mut file.faults);
            (file, Vec::new(), drafts)
        }
        (None, ..) => {
            let help = "say what to connect: --config connector.json, or --channel NAME --destination URL";
            return Err(Failure::Configuration(help.to_owned()));
        }
    };
    let plans = plan(drafts, kinds, &mut file);
    let files: Vec<File> = [file].into_iter().chain(others).collect();
    refuse_faults(&files.iter().collect::<Vec<_>>())?;
    Ok((plans, files))
}

type Read = (File, Vec<File>, Vec<engine::graph::draft::Draft>);

/// Reads a file and those that it names, or that lie beside it.
fn read_file(path: &Path, connections: Option<&Path>) -> Result<Read, Failure> {
    let mut file = File::read(path)?;
    let named = connections.map(Path::to_owned).or_else(|| file.named("connections_config"));
    let mut connections = File::read_beside(named.as_deref(), path, "connections.json")?;
    let webhooks = file.named("webhooks_config").map(|path| File::read(&path)).transpose()?;
    if let Some(webhooks) = &webhooks {
        file.include("webhooks_config", webhooks);
    }
    let named = match &mut connections {
        Some(connections) => Connections::read(connections.root().as_ref(), &mut connections.faults),
        None => Connections::read(None, &mut file.faults),
    };
    let drafts = file.root().map(|root| schemas::connector::read(&root, &named, &mut file.faults));
    Ok((file, connections.into_iter().chain(webhooks).collect(), drafts.unwrap_or_default()))
}
