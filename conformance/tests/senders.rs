//! Senders that prove themselves in more than one step, against the real binary.

use std::net::SocketAddr;
use std::process::Command;

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::http as client;
use conformance::party::process::Process;
use conformance::party::receiver::start_listening;
use conformance::stand::built_binary;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A receiver with the entry `in`, which prints what it takes.
struct Rig {
    _folder: TempDir,
    _process: Process,
    address: SocketAddr,
}

impl Rig {
    async fn start(gate: &str, settings: Value) -> Result<Self, Failed> {
        let folder = TempDir::new()?;
        let config = folder.path().join("webhooks.json");
        std::fs::write(&config, json!({ "in": { "module": "log", gate: settings } }).to_string())?;
        let (binary, config) = (built_binary()?.display().to_string(), config.display().to_string());
        let command = [&binary, "receiver", "--config", &config, "--buffer", "memory:"].map(str::to_owned);
        let log = folder.path().join("receiver.log");
        let (process, address) = start_listening(&command, "127.0.0.1:0", &log).await?;
        Ok(Self { _folder: folder, _process: process, address })
    }

    /// Lets curl post to `in`, and returns the status it got at last and the Authorization headers it sent.
    fn curl(&self, credentials: &str) -> Result<(String, Vec<String>), Failed> {
        let told = Command::new("curl")
            .args(["--silent", "--verbose", "--digest", "--user", credentials, "--data", "{\"a\": 1}"])
            .args(["--max-time", "15", "--output", "/dev/null", "--write-out", "%{http_code}"])
            .arg(format!("http://{}/webhook/in?a=1,2", self.address))
            .output()
            .map_err(|error| Failed(format!("curl cannot be run: {error}")))?;
        let verbose = String::from_utf8_lossy(&told.stderr).into_owned();
        let sent = verbose.lines().filter_map(|line| line.strip_prefix("> Authorization: "));
        Ok((String::from_utf8(told.stdout)?, sent.map(str::to_owned).collect()))
    }

    async fn post(&self, authorization: &str) -> Result<(StatusCode, Vec<String>), Failed> {
        let request = Request::post("/webhook/in?a=1,2").header("host", "localhost");
        let request = request.header("authorization", authorization).body(Full::from("{\"a\": 1}"))?;
        let answer = client::send(self.address, request).await?;
        let challenges = answer.headers.get_all("www-authenticate").iter();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok((answer.status, challenges.map(text).collect()))
    }
}

#[tokio::test]
async fn curl_answers_the_challenge_and_what_it_sent_cannot_be_sent_again() -> Result<(), Failed> {
    let rig = Rig::start("digest_auth", json!({ "username": "ü", "password": "p:w" })).await?;
    let (status, sent) = rig.curl("ü:p:w")?;
    ensure_eq("what curl was answered", &status.as_str(), &"200")?;
    ensure(!sent.is_empty(), || "curl sent no proof".to_owned())?;
    for header in &sent {
        ensure(header.contains("SHA-256"), || format!("the better hash in {header}"))?;
        let (status, challenges) = rig.post(header).await?;
        ensure_eq("what was recorded", &status, &StatusCode::UNAUTHORIZED)?;
        let stale = challenges.iter().all(|challenge| challenge.ends_with(", stale=true"));
        ensure(stale && challenges.len() == 2, || format!("two fresh challenges in {challenges:?}"))?;
    }
    let (status, _) = rig.curl("ü:p")?;
    ensure_eq("with another password", &status.as_str(), &"401")
}

#[tokio::test]
async fn curl_answers_a_challenge_with_md5_where_it_is_the_only_one() -> Result<(), Failed> {
    let rig =
        Rig::start("digest_auth", json!({ "username": "u", "password": "p", "algorithm": "MD5" })).await?;
    let (status, sent) = rig.curl("u:p")?;
    ensure_eq("what curl was answered", &status.as_str(), &"200")?;
    ensure(sent.iter().all(|header| header.contains("algorithm=MD5")), || format!("MD5 in {sent:?}"))
}
