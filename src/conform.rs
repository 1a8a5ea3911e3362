//! `webhook-connect conform`: checks the guarantees of a deployment that runs already, or of a connector.

use std::io::{self, Write};

use conformance::deployment::{self, Refused};
use conformance::party::receiver::{Proof, Target};
use conformance::party::site::{NotFound, Site};
use conformance::report::Report;
use conformance::under_test;
use engine::config::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::{self, Verdicts};
use crate::failure::Failure;
use crate::stop;

/// Runs the suite and prints its report.
///
/// # Errors
/// A case failed, the suite could not begin, or the arguments are at fault.
pub(crate) async fn run(options: cli::Conform) -> Result<(), Failure> {
    let known = match &options.connector {
        Some(_) => under_test::ids(),
        None => deployment::ids(),
    };
    if let Some(unknown) =
        options.cases.iter().find(|id| !known.iter().any(|one| one.eq_ignore_ascii_case(id)))
    {
        let known = known.join(", ");
        return Err(Failure::Configuration(format!("there is no case `{unknown}`; there are {known}")));
    }
    let (verdicts, mut stop) = (options.report, stop::on_signals()?);
    let checking = async {
        match &options.connector {
            Some(command) => check_connector(command, &options).await,
            None => check_deployment(options).await,
        }
    };
    let report = tokio::select! {
        report = checking => report?,
        // Whoever could say stop lives as long as the process. What the suite started ends with what is dropped here.
        _ = stop.wait_for(|stop| *stop) => {
            let why = "told to stop: there is no verdict, and the suite's webhooks may be left in the channel";
            return Err(Failure::other(why));
        }
    };
    let text = match verdicts {
        Verdicts::Human => report.to_string(),
        Verdicts::Json => format!("{:#}\n", report.json()),
        Verdicts::Junit => report.junit(),
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::other(format!("cannot print: {error}")))?;
    if report.passed() { Ok(()) } else { Err(Failure::Found) }
}

async fn check_connector(command: &str, options: &cli::Conform) -> Result<Report, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::other(format!("this program cannot find itself: {error}")))?;
    let options =
        under_test::Options { binary: own, command: command.to_owned(), cases: options.cases.clone() };
    Ok(under_test::run(&options).await)
}

async fn check_deployment(options: cli::Conform) -> Result<Report, Failure> {
    let missing = || Failure::Configuration("--receiver needs --webhook, --channel and --token".to_owned());
    let cli::Conform { receiver, webhook, channel, token, .. } = options;
    let (Some(url), Some(webhook), Some(channel), Some(token)) = (receiver, webhook, channel, token) else {
        return Err(missing());
    };
    let headers = options.headers.iter().map(header).collect::<Result<HeaderMap, _>>()?;
    let target = Target {
        site: site(&url, options.tls_ca.as_deref()).await?,
        webhook,
        proof: Proof::Headers(headers),
        channel,
        token,
        admin: options.admin_token,
    };
    let (cases, take_over) = (options.cases, options.take_over);
    let run = deployment::run(deployment::Options { target, url, cases, take_over });
    run.await.map_err(|Refused(why)| Failure::Unavailable(why))
}

/// Finds a receiver.
///
/// # Errors
/// The URL or the authorities are at fault, or the host is not known.
pub(crate) async fn site(url: &str, ca: Option<&std::path::Path>) -> Result<Site, Failure> {
    Site::find(url, ca).await.map_err(|not_found| match not_found {
        NotFound::Wrong(why) => Failure::Configuration(why),
        NotFound::Unknown(why) => Failure::Unavailable(why),
    })
}

fn header(text: &Secret) -> Result<(HeaderName, HeaderValue), Failure> {
    let wrong = || Failure::Configuration("a --header is not of the form `Name: value`".to_owned());
    let (name, value) = text.expose().split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}
