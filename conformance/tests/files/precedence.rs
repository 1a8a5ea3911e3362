//! Default < file < environment < flag, for both ends: one test per source.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::process::Process;
use conformance::stand::built_binary;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How long something may take to happen.
const MOST: Duration = Duration::from_secs(20);

/// Starts the binary with these variables and nothing else.
fn start(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Process, Failed> {
    let mut command = Command::new(built_binary()?);
    command.env_clear().envs(variables.iter().copied()).current_dir(folder).args(arguments);
    Process::spawn(command.into(), &folder.join("log"))
}

fn write(folder: &Path, name: &str, file: &Value) -> Result<(), Failed> {
    Ok(std::fs::write(folder.join(name), file.to_string())?)
}

/// Starts a receiver and returns where it listens, as the log has it.
async fn listens(file: &Value, variables: &[(&str, &str)], flags: &[&str]) -> Result<SocketAddr, Failed> {
    let folder = TempDir::new()?;
    write(folder.path(), "webhooks.json", &json!({}))?;
    write(folder.path(), "receiver.json", file)?;
    let arguments =
        [&["receiver", "--receiver-config", "receiver.json", "--buffer", "memory:"], flags].concat();
    let mut process = start(folder.path(), variables, &arguments)?;
    let find = |text: &str| {
        let line = text.lines().find(|line| line.contains("listening"))?;
        line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
    };
    process.says("the receiver listens", 0, MOST, find).await
}

/// The addresses of the loopback that each source asks for.
const FILE: &str = "127.0.0.2:0";
const VARIABLE: (&str, &str) = ("WEBHOOK_CONNECT_LISTEN", "127.0.0.3:0");
const FLAG: [&str; 2] = ["--listen", "127.0.0.4:0"];

#[tokio::test]
async fn a_receiver_takes_the_file_where_nothing_else_speaks() -> Result<(), Failed> {
    let address = listens(&json!({ "listen": FILE }), &[], &[]).await?;
    ensure_eq("the address", &address.ip().to_string(), &"127.0.0.2".to_owned())
}

#[tokio::test]
async fn a_receivers_environment_goes_before_its_file() -> Result<(), Failed> {
    let address = listens(&json!({ "listen": FILE }), &[VARIABLE], &[]).await?;
    ensure_eq("the address", &address.ip().to_string(), &"127.0.0.3".to_owned())
}

#[tokio::test]
async fn a_receivers_flag_goes_before_its_environment() -> Result<(), Failed> {
    let address = listens(&json!({ "listen": FILE }), &[VARIABLE], &FLAG).await?;
    ensure_eq("the address", &address.ip().to_string(), &"127.0.0.4".to_owned())
}

/// Starts a connector and returns the head of the first request it makes to `cloud`, a bare listener.
async fn greets(
    cloud: TcpListener,
    file: Option<&Value>,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<String, Failed> {
    let folder = TempDir::new()?;
    let mut arguments = flags.to_vec();
    if let Some(file) = file {
        write(folder.path(), "connector.json", file)?;
        arguments.extend(["--config", "connector.json"]);
    }
    let process = start(folder.path(), variables, &arguments)?;
    let head = tokio::time::timeout(MOST, async {
        let (stream, _) = cloud.accept().await?;
        let (mut head, mut piece) = (Vec::new(), [0; 4_096]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.readable().await?;
            match stream.try_read(&mut piece) {
                Ok(0) => break,
                Ok(read) => head.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Failed::from(error)),
            }
        }
        Ok(String::from_utf8_lossy(&head).into_owned())
    });
    head.await.map_err(|_| Failed(process.log().unwrap_or_default()))?
}

/// A listener, its URL, and a URL that nobody may call.
async fn cloud() -> Result<(TcpListener, String, String), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url, "http://127.0.0.1:1".to_owned()))
}

fn routes(url: &str, token: &str) -> Value {
    json!({ "cloud": { "url": url, "token": token }, "routes": { "events": "log:" } })
}

fn ensure_token(head: &str, token: &str) -> Result<(), Failed> {
    let has =
        head.lines().any(|line| line.to_lowercase().starts_with("authorization:") && line.ends_with(token));
    ensure(has && head.contains("/connect/stream/events"), || format!("wanted {token} in {head}"))
}

#[tokio::test]
async fn a_connector_takes_the_file_where_nothing_else_speaks() -> Result<(), Failed> {
    let (cloud, url, _) = cloud().await?;
    ensure_token(&greets(cloud, Some(&routes(&url, "of-file")), &[], &[]).await?, "of-file")
}

#[tokio::test]
async fn a_connectors_environment_goes_before_its_file() -> Result<(), Failed> {
    let (cloud, url, wrong) = cloud().await?;
    let variables = [("CLOUD_URL", url.as_str()), ("CONNECTOR_TOKEN", "of-environment")];
    ensure_token(&greets(cloud, Some(&routes(&wrong, "of-file")), &variables, &[]).await?, "of-environment")
}

#[tokio::test]
async fn the_python_products_variable_for_the_url_is_known_too() -> Result<(), Failed> {
    let (cloud, url, wrong) = cloud().await?;
    let variables = [("CONNECTOR_CLOUD_URL", url.as_str())];
    ensure_token(&greets(cloud, Some(&routes(&wrong, "of-file")), &variables, &[]).await?, "of-file")
}

#[tokio::test]
async fn a_connectors_flag_goes_before_its_environment() -> Result<(), Failed> {
    let (cloud, url, wrong) = cloud().await?;
    let variables = [("CLOUD_URL", wrong.as_str()), ("CONNECTOR_TOKEN", "of-environment")];
    let flags = ["--cloud-url", &url, "--token", "of-flag"];
    ensure_token(&greets(cloud, Some(&routes(&wrong, "of-file")), &variables, &flags).await?, "of-flag")
}

#[tokio::test]
async fn a_channel_of_its_own_token_keeps_it() -> Result<(), Failed> {
    let (cloud, url, _) = cloud().await?;
    let mut file = routes(&url, "of-file");
    file["routes"]["events"] = json!({ "module": "log", "token": "of-channel" });
    let variables = [("CONNECTOR_TOKEN", "of-environment")];
    ensure_token(&greets(cloud, Some(&file), &variables, &[]).await?, "of-channel")
}

#[tokio::test]
async fn without_a_file_the_environment_is_enough() -> Result<(), Failed> {
    let (cloud, url, _) = cloud().await?;
    let variables = [
        ("CLOUD_URL", url.as_str()),
        ("CONNECTOR_TOKEN", "of-environment"),
        ("CONNECTOR_CHANNEL", "events"),
        ("CONNECTOR_TARGET_URL", "http://127.0.0.1:1/"),
    ];
    ensure_token(&greets(cloud, None, &variables, &[]).await?, "of-environment")
}

#[tokio::test]
async fn variables_that_are_set_to_nothing_are_not_set() -> Result<(), Failed> {
    let (cloud, url, _) = cloud().await?;
    let names =
        ["CONNECTOR_CONFIG", "CONNECTOR_CONNECTIONS_CONFIG", "CONNECTOR_CHANNEL", "WEBHOOK_CONNECT_STATUS"];
    let nothing = names.map(|name| (name, ""));
    let flags = ["--channel", "events", "--destination", "log:", "--cloud-url", &url, "--token", "of-flag"];
    ensure_token(&greets(cloud, None, &nothing, &flags).await?, "of-flag")
}
