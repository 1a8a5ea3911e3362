//! The receiver under test.

use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::request::Builder;
use ::http::{HeaderMap, Request};
use bytes::Bytes;
use engine::config::Secret;
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::case::{Failed, ensure, ensure_eq};
use crate::party::audit::{Balance, PARTS};
use crate::party::connector::Link;
use crate::party::http::{self, Answer};
use crate::party::post::{MARK, Posted};
use crate::party::process::Process;
use crate::party::sender::{self, DELIVERY};
use crate::party::site::Site;
use crate::party::transport::Transport;

/// How long a receiver may take to answer after its start.
const START: Duration = Duration::from_secs(20);

/// How often figures are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The channel that cases use.
pub const CHANNEL: &str = "events";

/// The channel's token.
pub const TOKEN: &str = "ch_tok_of_the_conformance_suite";

/// The webhook id that cases post to.
pub const WEBHOOK: &str = "in";

/// The secret that webhooks are signed with.
pub const SECRET: &str = "hmac secret of the conformance suite";

/// The token of the admin API.
pub const ADMIN: &str = "admin token of the conformance suite";

/// How a receiver is configured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The keys of `module-config` beside the channel: limits.
    pub limits: Value,
    /// `json` or `blob`.
    pub data_type: &'static str,
    /// The keys of receiver.json beside the admin token.
    pub receiver: Value,
    /// A command line that the receiver's own is added to; none starts the binary itself.
    pub wrapper: Vec<String>,
    /// The folder of the buffer, when it is not the stand's.
    pub data: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: json!({}), data_type: "blob", receiver: json!({}), wrapper: Vec::new(), data: None }
    }
}

impl Setup {
    /// Makes a setup with limits of its own.
    #[must_use]
    pub fn limits(limits: Value) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Returns its webhooks.json.
    #[must_use]
    pub fn webhooks(&self) -> Value {
        let mut config = self.limits.as_object().cloned().unwrap_or_default();
        config.insert("channel".to_owned(), json!(CHANNEL));
        config.insert("channel_token".to_owned(), json!(TOKEN));
        json!({ WEBHOOK: {
            "data_type": self.data_type,
            "module": "webhook_connect",
            "module-config": config,
            "hmac": { "secret": SECRET, "header": "X-Hub-Signature-256", "algorithm": "sha256" },
        }})
    }
}

/// Where a case posts to, and where it takes from.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the receiver answers.
    pub site: Site,
    /// The id of the webhook that is posted to.
    pub webhook: String,
    /// How the sender proves itself.
    pub proof: Proof,
    /// The channel that the webhook feeds.
    pub channel: String,
    /// The channel's token.
    pub token: Secret,
    /// The token of the admin API; none when it cannot be asked.
    pub admin: Option<Secret>,
}

/// How the sender proves itself.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By the suite's signature.
    Signature,
    /// By headers that are the same for every webhook.
    Headers(HeaderMap),
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    own: Option<Own>,
    target: Target,
    transport: Transport,
    posted: Posted,
    before: Stats,
}

/// A receiver that the suite started.
#[derive(Debug)]
struct Own {
    process: Process,
    command: Vec<String>,
    log: PathBuf,
}

impl Receiver {
    /// Writes the files, starts the binary and waits until it answers.
    ///
    /// # Errors
    /// It does not start; its log is in the text.
    pub async fn start(binary: &Path, folder: &Path, buffer: &str, setup: Setup) -> Result<Self, Failed> {
        let (webhooks, own) = (folder.join("webhooks.json"), folder.join("receiver.json"));
        std::fs::write(&webhooks, setup.webhooks().to_string())?;
        let mut keys: Map<String, Value> = setup.receiver.as_object().cloned().unwrap_or_default();
        keys.insert("admin_token".to_owned(), json!(ADMIN));
        std::fs::write(&own, Value::Object(keys).to_string())?;
        let buffer = setup.data.map_or(buffer.to_owned(), |data| format!("embedded:{}", data.display()));
        let mut command = setup.wrapper;
        let files = [("--config", &webhooks), ("--receiver-config", &own)];
        command.push(binary.display().to_string());
        command.push("receiver".to_owned());
        for (flag, path) in files {
            command.extend([flag.to_owned(), path.display().to_string()]);
        }
        command.extend(["--buffer".to_owned(), buffer]);
        let log = folder.join("receiver.log");
        let (process, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
        let target = Target {
            site: address.into(),
            webhook: WEBHOOK.to_owned(),
            proof: Proof::Signature,
            channel: CHANNEL.to_owned(),
            token: Secret::new(TOKEN),
            admin: Some(Secret::new(ADMIN)),
        };
        let own = Some(Own { process, command, log });
        let (transport, posted) = (Transport::WebSocket, Posted::default());
        Ok(Self { own, target, transport, posted, before: Stats::default() })
    }

    /// Takes a receiver that runs already, whose figures count from now on.
    ///
    /// # Errors
    /// It does not tell its figures.
    pub async fn there(target: Target, posted: Posted) -> Result<Self, Failed> {
        let transport = Transport::WebSocket;
        let mut receiver = Self { own: None, target, transport, posted, before: Stats::default() };
        receiver.before = receiver.stats().await?;
        Ok(receiver)
    }

    /// Returns where it listens. A restart keeps it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.target.site.address()
    }

    /// Returns where it answers.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.target.site
    }

    /// Returns where cases post to and take from.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Has its links use `transport`, and records what is posted in `posted`.
    #[must_use]
    pub fn with(mut self, transport: Transport, posted: Posted) -> Self {
        (self.transport, self.posted) = (transport, posted);
        self
    }

    /// Returns its process.
    ///
    /// # Errors
    /// The suite did not start it.
    pub fn process(&mut self) -> Result<&mut Process, Failed> {
        Ok(&mut self.own()?.process)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(&mut self) -> Result<(), Failed> {
        self.process()?.kill().await
    }

    /// Starts it again at the same address, with the same files and the same buffer.
    ///
    /// # Errors
    /// It does not start; its log is in the text.
    pub async fn restart(&mut self) -> Result<(), Failed> {
        let address = self.address().to_string();
        let own = self.own()?;
        (own.process, _) = start_listening(&own.command, &address, &own.log).await?;
        Ok(())
    }

    fn own(&mut self) -> Result<&mut Own, Failed> {
        self.own.as_mut().ok_or_else(|| Failed("the suite did not start this receiver".to_owned()))
    }

    /// Begins a POST of `body` to the webhook, with what the sender proves itself by. `query` begins with `?` or is empty.
    #[must_use]
    pub fn post(&self, query: &str, body: &[u8]) -> Builder {
        let mut request =
            Request::post(format!("/webhook/{}{query}", self.target.webhook)).header("host", "localhost");
        match &self.target.proof {
            Proof::Signature => {
                request = request.header("x-hub-signature-256", sender::signature(SECRET, body));
            }
            Proof::Headers(headers) => {
                for (name, value) in headers {
                    request = request.header(name, value);
                }
            }
        }
        match self.posted.mark() {
            Some(mark) => request.header(MARK, mark),
            None => request,
        }
    }

    /// Posts `body`, named `delivery`.
    ///
    /// # Errors
    /// The receiver cannot be reached, or hangs up.
    pub async fn send(&self, delivery: &str, body: impl Into<Bytes>) -> Result<Answer, Failed> {
        let body = body.into();
        let request = self.post("", &body).header(DELIVERY, delivery).body(Full::new(body))?;
        self.request(delivery, request).await
    }

    /// Sends a request for a webhook named `delivery`, and notes the id it is accepted under.
    ///
    /// # Errors
    /// The receiver cannot be reached, or hangs up.
    pub async fn request(&self, delivery: &str, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
        let answer = http::send(&self.target.site, request).await?;
        if answer.status.is_success()
            && let Ok(said) = answer.json()
        {
            self.posted.accepted(delivery, said["message_id"].as_str().unwrap_or("an unknown id"));
        }
        Ok(answer)
    }

    /// Posts `body`, named `delivery`, and returns the id it was accepted under.
    ///
    /// # Errors
    /// It was not answered 2xx with an id.
    pub async fn accepted(&self, delivery: &str, body: impl Into<Bytes>) -> Result<String, Failed> {
        let answer = self.send(delivery, body).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure(answer.status.is_success(), || {
            format!("the answer to webhook `{delivery}`: wanted 2xx, found {} {said}", answer.status)
        })?;
        let id = answer.json()?["message_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Failed(format!("the answer to webhook `{delivery}` has no message_id: {said}")))
    }

    /// Connects a connector with this window, in webhooks.
    ///
    /// # Errors
    /// It is refused.
    pub async fn link(&self, window: usize) -> Result<Link, Failed> {
        let Target { site, channel, token, .. } = &self.target;
        let link = Link::open(self.transport, site, channel, token.expose(), window).await?;
        Ok(link.taking(self.posted.clone()))
    }

    /// Connects a tap.
    ///
    /// # Errors
    /// It is refused.
    pub async fn tap(&self) -> Result<Link, Failed> {
        let Target { site, channel, token, .. } = &self.target;
        let link = Link::tap(self.transport, site, channel, token.expose()).await?;
        Ok(link.taking(self.posted.clone()))
    }

    /// Returns the figures of the channel.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn stats(&self) -> Result<Stats, Failed> {
        let Target { site, channel, token, admin, .. } = &self.target;
        let answer = match admin {
            Some(admin) => {
                http::get(site, &format!("/admin/webhook-connect/channels/{channel}/stats"), admin.expose())
                    .await?
            }
            None => http::get(site, &format!("/connect/status/{channel}"), token.expose()).await?,
        };
        ensure_eq("the status of the figures", &answer.status.as_u16(), &200)?;
        let mut now = answer.json()?;
        if admin.is_none() {
            now = now["stats"].take();
        }
        Ok(Stats { now, before: self.before.now.clone() })
    }

    /// Returns the dead letters of the channel whose sequence is above `after`.
    ///
    /// # Errors
    /// They cannot be had.
    pub async fn dead_letters(&self, after: u64) -> Result<Vec<Value>, Failed> {
        let Target { site, channel, admin, .. } = &self.target;
        let path = format!("/admin/webhook-connect/channels/{channel}/dead-letters?limit=1000&after={after}");
        let answer = http::get(site, &path, admin.as_ref().map_or("", Secret::expose)).await?;
        ensure_eq("the status of the dead letters", &answer.status.as_u16(), &200)?;
        Ok(answer.json()?["messages"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until the figures are as wanted, and checks that the audit balances all the while.
    ///
    /// # Errors
    /// They are not within `most`, or the audit does not balance.
    pub async fn settles(
        &self,
        what: &str,
        most: Duration,
        wanted: impl Fn(&Stats) -> bool + Send,
    ) -> Result<Stats, Failed> {
        let end = Instant::now() + most;
        loop {
            let stats = self.stats().await?;
            stats.ensure_balance()?;
            if wanted(&stats) {
                return Ok(stats);
            }
            ensure(Instant::now() < end, || {
                format!("expected within {most:?}: {what}; last figures: {stats}")
            })?;
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The figures of a channel, and what they were when the case began.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    now: Value,
    before: Value,
}

impl Stats {
    /// Returns by how much one figure has grown since the case began; a figure that is missing reads as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<i64> {
        Some(self.now[name].as_i64()? - self.before[name].as_i64().unwrap_or(0))
    }

    /// Returns by how much one figure has grown since the case began, 0 when it is missing.
    #[must_use]
    pub fn count(&self, name: &str) -> i64 {
        self.get(name).unwrap_or(0)
    }

    /// Returns the figures as the receiver told them.
    #[must_use]
    pub fn told(&self) -> &Value {
        &self.now
    }

    /// Checks the audit: everything accepted is somewhere (LED-01).
    ///
    /// # Errors
    /// The figures that do not balance.
    pub fn ensure_balance(&self) -> Result<(), Failed> {
        let balance = Balance::of(&self.now)?;
        ensure(balance.holds(), || format!("the audit does not balance: {balance}; figures: {}", self.now))
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.before.is_null() {
            return write!(f, "{}", self.now);
        }
        write!(f, "since the case began")?;
        for part in ["accepted"].into_iter().chain(PARTS) {
            write!(f, ", {part} {}", self.count(&format!("messages_{part}")))?;
        }
        Ok(())
    }
}

/// Starts `command` as a receiver that listens at `listen`, and waits until it does. Its output goes to the end of `log`.
///
/// # Errors
/// It does not start; its log is in the text.
pub async fn start_listening(
    command: &[String],
    listen: &str,
    log: &Path,
) -> Result<(Process, SocketAddr), Failed> {
    let from = std::fs::metadata(log).map_or(0, |log| usize::try_from(log.len()).unwrap_or(0));
    let mut arguments: Vec<&OsStr> = command.iter().skip(1).map(OsStr::new).collect();
    arguments.extend(["--listen", listen].map(OsStr::new));
    let program = command.first().map(Path::new).unwrap_or(Path::new(""));
    let mut process = Process::start(program, &arguments, log)?;
    let find = |text: &str| {
        let line = text.lines().find(|line| line.contains("listening"))?;
        let (_, rest) = line.split_once("address=")?;
        rest.split_whitespace().next()?.parse::<SocketAddr>().ok()
    };
    let address = process.says("the receiver listens", from, START, find).await?;
    Ok((process, address))
}
