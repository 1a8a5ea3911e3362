//! Secrets: wherever one may stand in a configuration, nothing that people see shows it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ::http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::destination::{Destination, Manners};
use crate::party::http;
use crate::party::process::Process;
use crate::party::receiver::start_listening;
use crate::party::wait::until;
use crate::stand::Stand;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);

/// What every planted secret begins with, and nothing else has.
const PLANTED: &str = "pl4nted-";

pub(super) const CASES: &[Case] = &[Case {
    id: "SEC-01",
    title: "secrets in every place of every file show in no log, fault, metric, plan, report or answer",
    proves: "G18",
    needs_durability: false,
    needs: Need::Settings("secrets planted at every place"),
    varies: Varies::No,
    run: |stand| Box::pin(secrets(stand)),
}];

/// Everything that was shown, with where.
struct Shown(Vec<(String, String)>);

impl Shown {
    fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    /// Fails when a secret shows anywhere.
    fn ensure_clean(&self) -> Result<(), Failed> {
        let leaks = self.0.iter().flat_map(|(place, text)| {
            text.lines().filter(|line| line.contains(PLANTED)).map(move |line| format!("{place}: {line}"))
        });
        let leaks: Vec<_> = leaks.collect();
        ensure(leaks.is_empty(), || format!("secrets show:\n{}", leaks.join("\n")))
    }
}

fn secret(name: &str) -> String {
    format!("{PLANTED}{name}")
}

fn webhooks() -> Value {
    let config = |channel: &str| json!({ "channel": channel, "channel_token": secret("channel-token") });
    let hmac = json!({ "secret": secret("hmac"), "header": "X-Hub-Signature-256", "algorithm": "sha256" });
    json!({
        "signed": { "data_type": "blob", "module": "webhook_connect", "module-config": config("a"), "hmac": hmac },
        "known": { "data_type": "blob", "module": "webhook_connect", "module-config": config("a"),
            "authorization": format!("Bearer {}", secret("authorization")) },
        "basic": { "data_type": "blob", "module": "webhook_connect", "module-config": config("a"),
            "basic_auth": { "username": "sender", "password": secret("password") } },
        "keyed": { "data_type": "blob", "module": "webhook_connect", "module-config": config("a"),
            "header_auth": { "api_key": secret("api-key"), "api_keys": [secret("next-api-key")] } },
        "asked": { "data_type": "blob", "module": "webhook_connect", "module-config": config("a"),
            "query_auth": { "api_key": secret("query-key"), "api_keys": [secret("next-query-key")] } },
    })
}

fn connector(receiver: &str, destination: &str) -> Value {
    json!({
        "cloud": { "url": receiver, "token": secret("channel-token") },
        "routes": { "a": { "module": "http_webhook", "connection": "api", "module-config": {
            "url": format!("{destination}&key={}", secret("query")),
            "headers": { "authorization": format!("Bearer {}", secret("header")), "x-api-key": secret("key") },
        }}},
    })
}

async fn secrets(stand: Stand) -> Result<(), Failed> {
    let mut shown = Shown(Vec::new());
    let folder = stand.folder();
    let write = |name: &str, value: &Value| fs::write(folder.join(name), format!("{value:#}"));
    write("webhooks.json", &webhooks())?;
    write(
        "receiver.json",
        &json!({ "admin_token": secret("admin"), "channel_token": secret("every-channel") }),
    )?;
    write(
        "connections.json",
        &json!({ "api": { "type": "http", "headers": { "x-more": secret("connection") } } }),
    )?;
    let destination = Destination::start().await?;
    let (receiver, address, near) = start_receiver(&stand).await?;
    write("connector.json", &connector(&format!("http://{address}"), &destination.url()))?;
    let mut far = start_connector(&stand)?;

    let status = send(address, "signed", &[]).await?;
    shown.add("the answer to a wrong sender", status);
    shown.add(
        "the answer to one who knows nothing",
        send(address, "known", &[("authorization", "Bearer no")]).await?,
    );
    shown.add(
        "the answer to a wrong password",
        send(address, "basic", &[("authorization", "Basic eDp5")]).await?,
    );
    shown.add("the answer to a wrong key", send(address, "keyed", &[("x-api-key", "no")]).await?);
    shown.add("the answer to a wrong query", send(address, "asked?api_key=no", &[]).await?);
    let right = [("authorization", format!("Bearer {}", secret("authorization")))];
    let right: Vec<(&str, &str)> = right.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // One is delivered, one fails and is repeated, one is rejected.
    shown.add("the answer to a right sender", send(address, "known", &right).await?);
    destination.answer_next([::http::StatusCode::INTERNAL_SERVER_ERROR]);
    destination.reached(1).await?;
    send(address, "known", &right).await?;
    destination.reached(3).await?;
    destination.behave(Manners { status: ::http::StatusCode::UNPROCESSABLE_ENTITY, ..Manners::default() });
    send(address, "known", &right).await?;
    destination.reached(4).await?;
    wrong_token(&stand, address, &mut shown).await?;
    answers(address, &mut shown).await?;
    far.says("it was rejected", 0, SOON, |text| text.contains("422").then_some(())).await?;
    let status = far.says("the status is served", 0, SOON, status_address).await?;
    for path in ["/status", "/health"] {
        shown.add(path, String::from_utf8_lossy(&http::get(status, path, "").await?.body));
    }

    commands(&stand, &mut shown).await?;
    faulty(&stand, &mut shown).await?;
    receiver.signal("HUP").await?;
    until("the faulty files are told", SOON, || {
        let told = fs::read_to_string(&near).unwrap_or_default().contains("the one before stays in force");
        async move { Ok(told.then_some(())) }
    })
    .await?;
    shown.add("the receiver's log", fs::read_to_string(&near)?);
    shown.add("the connector's log", far.log()?);
    let bytes: usize = shown.0.iter().map(|(_, text)| text.len()).sum();
    ensure(bytes > 10_000, || format!("something to look through, found {bytes} bytes"))?;
    stand.note(format!("{} texts, {bytes} bytes", shown.0.len()));
    shown.ensure_clean()
}

async fn start_receiver(
    stand: &Stand,
) -> Result<(Process, std::net::SocketAddr, std::path::PathBuf), Failed> {
    let folder = stand.folder();
    let log = folder.join("receiver.log");
    let mut command = vec![stand.binary()?.display().to_string(), "receiver".to_owned()];
    for (flag, name) in [("--config", "webhooks.json"), ("--receiver-config", "receiver.json")] {
        command.extend([flag.to_owned(), folder.join(name).display().to_string()]);
    }
    command.extend(["--buffer".to_owned(), "memory:".to_owned()]);
    let (process, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
    Ok((process, address, log))
}

fn start_connector(stand: &Stand) -> Result<Process, Failed> {
    let config = stand.folder().join("connector.json");
    let arguments = ["--config".as_ref(), config.as_os_str(), "--status".as_ref(), "127.0.0.1:0".as_ref()];
    Process::start(stand.binary()?, &arguments, &stand.folder().join("connector.log"))
}

/// Returns where a connector says that it serves its status.
fn status_address(log: &str) -> Option<std::net::SocketAddr> {
    let line = log.lines().find(|line| line.contains("serving the status"))?;
    line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
}

/// Posts a webhook and returns the whole answer.
async fn send(
    address: std::net::SocketAddr,
    webhook: &str,
    headers: &[(&str, &str)],
) -> Result<String, Failed> {
    let mut request = Request::post(format!("/webhook/{webhook}")).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = http::send(address, request.body(Full::from("{}"))?).await?;
    Ok(format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body)))
}

/// A connector whose token is another one is told so, and its own log does not show it either.
async fn wrong_token(stand: &Stand, address: std::net::SocketAddr, shown: &mut Shown) -> Result<(), Failed> {
    let log = stand.folder().join("stranger.log");
    let (url, token) = (format!("http://{address}"), secret("wrong-token"));
    let arguments = ["--channel", "a", "--destination", "log:", "--cloud-url", &url, "--token", &token];
    let mut stranger = Process::start(stand.binary()?, &arguments.map(AsRef::as_ref), &log)?;
    let refused = |text: &str| text.contains("refused the token").then_some(());
    stranger.says("the token is refused", 0, SOON, refused).await?;
    shown.add("the log of a stranger", stranger.log()?);
    stranger.kill().await
}

/// Everything the receiver answers to operators, and the connector's status.
async fn answers(address: std::net::SocketAddr, shown: &mut Shown) -> Result<(), Failed> {
    let admin = secret("admin");
    let stats = "/admin/webhook-connect/channels/a/stats";
    until("one is rejected", SOON, || {
        let admin = admin.clone();
        async move {
            let figures = http::get(address, stats, &admin).await?.json()?;
            Ok((figures["messages_dead_lettered"] == json!(1)).then_some(()))
        }
    })
    .await?;
    let dead = "/admin/webhook-connect/channels/a/dead-letters?limit=10";
    for path in ["/health", "/metrics", stats, dead, "/connect/status/a", "/nowhere"] {
        let token = if path.starts_with("/connect") { secret("channel-token") } else { admin.clone() };
        let answer = http::get(address, path, &token).await?;
        // A dead letter shows what its sender sent, which is not for everybody and is no setting.
        let text = String::from_utf8_lossy(&answer.body).replace(&secret("authorization"), "");
        shown.add(path, text);
    }
    Ok(())
}

/// Plans, checks and schemas of the sound files.
async fn commands(stand: &Stand, shown: &mut Shown) -> Result<(), Failed> {
    for file in ["webhooks.json", "connector.json"] {
        for format in ["text", "json", "dot", "mermaid"] {
            let printed = run(stand, &["plan", file, "--format", format]).await?;
            ensure_eq("the exit code of plan", &printed.0, &Some(0))?;
            shown.add(format!("plan {file} --format {format}"), printed.1);
        }
    }
    for format in ["human", "json", "sarif"] {
        let files = ["webhooks.json", "receiver.json", "connector.json", "connections.json"];
        let printed = run(stand, &[&["check", "--format", format][..], &files].concat()).await?;
        shown.add(format!("check --format {format}"), printed.1);
    }
    Ok(())
}

/// Files in which something is wrong beside, within, and instead of each secret.
async fn faulty(stand: &Stand, shown: &mut Shown) -> Result<(), Failed> {
    let mut webhooks = webhooks();
    webhooks["signed"]["hmac"]["algorithm"] = json!("md4");
    webhooks["signed"]["module-config"]["channel_token"] = json!([secret("a-list")]);
    webhooks["known"]["authorization"] = json!({ "token": secret("no-text") });
    webhooks["basic"]["basic_auth"]["password"] = json!({ "value": secret("no-password") });
    webhooks["basic"]["basic_auth"]["pasword"] = json!(secret("misspelt"));
    webhooks["keyed"]["header_auth"]["api_key"] = json!([secret("a-list-of-keys")]);
    webhooks["keyed"]["header_auth"]["api_keys"] = json!(secret("no-list"));
    webhooks["asked"]["query_auth"]["api_keys"] = json!([{ "key": secret("no-key") }, 5]);
    webhooks["asked"]["query_auth"]["api_kye"] = json!(secret("misspelt-key"));
    let receiver = json!({ "admin_token": [secret("no-token")], "channel_token": { "x": secret("no-token") }, "tls": secret("no-tls") });
    let mut connector = connector(&format!("htp://user:{}@example.com", secret("in-a-url")), "http://[");
    connector["cloud"]["token"] = json!({ "token": secret("no-token") });
    connector["routes"]["a"]["module-config"]["headers"] = json!([secret("no-headers")]);
    for (name, value) in
        [("webhooks.json", webhooks), ("receiver.json", receiver), ("connector.json", connector)]
    {
        fs::write(stand.folder().join(name), format!("{value:#}"))?;
        for format in ["human", "json", "sarif"] {
            let printed = run(stand, &["check", name, "--format", format]).await?;
            ensure_eq("the exit code of check", &printed.0, &Some(2))?;
            shown.add(format!("check of a faulty {name} --format {format}"), printed.1);
        }
    }
    Ok(())
}

/// Runs a command in the stand's folder; returns its exit code and everything it printed.
async fn run(stand: &Stand, arguments: &[&str]) -> Result<(Option<i32>, String), Failed> {
    let mut command = tokio::process::Command::new(stand.binary()?);
    command.args(arguments).current_dir(Path::new(stand.folder())).stdin(Stdio::null());
    let output = command.output().await?;
    let printed = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&printed).into_owned()))
}
