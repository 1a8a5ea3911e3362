//! `conform --connector`: the suite against a connector, good and bad.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use ::http::{Request, Uri};
use conformance::case::Failed;
use conformance::party::connector::Link;
use conformance::party::http;
use conformance::party::process::Process;
use conformance::party::transport::Transport;
use conformance::party::wait::until;
use conformance::stand::built_binary;
use http_body_util::Full;
use tempfile::TempDir;

use crate::run;

#[tokio::test]
async fn our_connector_passes() -> Result<(), Failed> {
    let command =
        format!("'{}' --channel {{channel}} --destination {{destination}}", built_binary()?.display());
    let ended = run(&["conform", "--connector", &command, "--report", "json"]).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    let told = ended.json();
    assert_eq!((&told["passed"], &told["failed"]), (&10.into(), &0.into()), "{}", ended.whole());
    Ok(())
}

#[tokio::test]
async fn a_connector_that_acknowledges_before_it_delivers_fails() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let told = folder.path().join("told");
    // The command only says where to connect: the connector runs here.
    let names = "\"$CLOUD_URL\" \"$CONNECTOR_TARGET_URL\" \"$CONNECTOR_CHANNEL\" \"$CONNECTOR_TOKEN\"";
    let file = told.display();
    let command = format!("printf '%s\\n' {names} > '{file}.new' && mv '{file}.new' '{file}' && sleep 300");
    let connector = tokio::spawn(async move { acknowledges_at_once(&told).await });
    let ended = run(&["conform", "--connector", &command, "--case", "CON-02"]).await?;
    connector.abort();
    assert_eq!(ended.code, 1, "{}", ended.whole());
    assert!(ended.out.starts_with("FAIL  CON-02 "), "{}", ended.whole());
    for told in ["msg_", "expected no acknowledgement before the destination's 2xx", "none of them answered"]
    {
        assert!(ended.out.contains(told), "`{told}` in: {}", ended.whole());
    }
    Ok(())
}

#[tokio::test]
async fn a_command_that_ends_at_once_fails_with_what_it_said() -> Result<(), Failed> {
    let command = "echo \"no such channel: {channel} at $CLOUD_URL\" >&2; exit 7";
    let ended = run(&["conform", "--connector", command, "--case", "CON-01"]).await?;
    assert_eq!(ended.code, 1, "{}", ended.whole());
    for told in ["the command ended", "7", "no such channel: events at http://127.0.0.1:"] {
        assert!(ended.out.contains(told), "`{told}` in: {}", ended.whole());
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_suite_that_is_told_to_stop() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let (id, log) = (folder.path().join("id"), folder.path().join("log"));
    let command = format!("sleep 300 & echo $! > '{}'; wait", id.display());
    let arguments = ["conform", "--case", "CON-01", "--connector", &command].map(OsStr::new);
    let mut suite = Process::start(&built_binary()?, &arguments, &log)?;
    let most = Duration::from_secs(20);
    let sleeper = until("the command runs", most, || async {
        Ok(std::fs::read_to_string(&id).unwrap_or_default().trim().parse::<u32>().ok())
    });
    let sleeper = sleeper.await?;
    suite.terminate().await?;
    assert_eq!(suite.ended(most).await?.code(), Some(1), "{}", suite.log()?);
    assert!(suite.log()?.contains("told to stop"), "{}", suite.log()?);
    until("what it started has ended", most, || async {
        let stat = std::fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        // Nobody may have waited for it yet.
        Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
    })
    .await
}

/// A connector that acknowledges each webhook and only then delivers it. What it needs stands in the file `told`.
async fn acknowledges_at_once(told: &Path) -> Result<(), Failed> {
    let text = until("the command says where to connect", Duration::from_secs(30), || async {
        Ok(std::fs::read_to_string(told).ok())
    })
    .await?;
    let lines: Vec<&str> = text.lines().collect();
    let &[cloud, destination, channel, token] = lines.as_slice() else {
        return Err(Failed(format!("four lines, found {text}")));
    };
    let (cloud, destination): (Uri, Uri) = (cloud.parse()?, destination.parse()?);
    let address = |uri: &Uri| uri.authority().map(|authority| authority.as_str().parse());
    let (Some(cloud), Some(to)) = (address(&cloud), address(&destination)) else {
        return Err(Failed("both URLs name an address".to_owned()));
    };
    let mut link = Link::open(Transport::Sse, cloud?, channel, token, 10).await?;
    let to: std::net::SocketAddr = to?;
    loop {
        let Some(delivery) = link.maybe(Duration::from_secs(1)).await? else { continue };
        link.deliver(&delivery).await?;
        let target = destination.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::post(target).header("host", "localhost");
        http::send(to, request.body(Full::new(delivery.webhook.body.clone()))?).await?;
    }
}
