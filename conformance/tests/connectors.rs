//! Many connectors at once: ten thousand that wait, a thousand that work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use conformance::case::{Failed, ensure, ensure_eq};
use conformance::party::connector::Link;
use conformance::party::http::{self, Client};
use conformance::party::process::{Process, open_files};
use conformance::party::receiver::{ADMIN, SECRET, Setup, start_listening};
use conformance::party::sender::signature;
use conformance::party::socket::{Dialect, Socket};
use conformance::party::wait::until;
use conformance::stand::{Buffer, Stand, built_binary};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

/// Connectors that wait at a time.
const IDLE: usize = 10_000;

/// What the receiver may take for them, in bytes.
const ONE_GIGABYTE: u64 = 1_000_000_000;

/// Files that each end needs beside its connections.
const BESIDE: usize = 600;

/// Connectors that work at a time, each on a channel of its own.
const ACTIVE: usize = 1_000;

/// Webhooks for each of them.
const EACH: usize = 3;

/// How many are dialled, or post, at a time.
const AT_A_TIME: usize = 50;

/// How long all of it may take.
const MOST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ten_thousand_connectors_that_wait_take_less_than_a_gigabyte() -> Result<(), Failed> {
    let idle = IDLE.min(open_files()?.saturating_sub(BESIDE));
    if idle < IDLE {
        println!("only {idle} connectors instead of {IDLE}: the system allows no more open files");
    }
    let limits = json!({ "max_connections": IDLE, "heartbeat_seconds": 60 });
    let stand = Stand::new(built_binary()?, Buffer::Embedded)?;
    let mut receiver = stand.receiver(Setup::limits(limits)).await?;
    let (address, began, mut dialling) = (receiver.address(), Instant::now(), JoinSet::new());
    for dialler in 0..AT_A_TIME {
        dialling.spawn(async move {
            let mut here = Vec::new();
            for nth in (dialler..idle).step_by(AT_A_TIME) {
                let dialect = if nth % 2 == 0 { Dialect::Native } else { Dialect::Compatible };
                here.push(Socket::session(address, dialect).await?);
            }
            Ok::<_, Failed>(here)
        });
    }
    let mut here = Vec::with_capacity(idle);
    while let Some(some) = dialling.join_next().await {
        here.extend(some??);
    }
    let wanted = i64::try_from(idle)?;
    receiver.settles("all are here", MOST, |stats| stats.count("connected_clients") == wanted).await?;
    let took = receiver.process()?.resident_bytes()?;
    println!("{idle} connectors in {:?}; VmRSS {} MB", began.elapsed(), took / 1_000_000);
    ensure(took < ONE_GIGABYTE, || format!("less than {ONE_GIGABYTE} bytes, found {took}"))?;
    // One of them is handed what is posted.
    receiver.accepted("one", "1").await?;
    receiver.settles("it is in flight", MOST, |stats| stats.count("messages_in_flight") == 1).await?;
    drop(here);
    receiver.settles("all have left", MOST, |stats| stats.count("connected_clients") == 0).await?;
    let mut link = receiver.link(1).await?;
    let again = link.next(MOST).await?;
    link.deliver(&again).await
}

/// A receiver with as many channels as there are connectors.
struct Wide {
    _process: Process,
    address: SocketAddr,
    _stand: Stand,
}

impl Wide {
    async fn start() -> Result<Self, Failed> {
        let stand = Stand::new(built_binary()?, Buffer::Embedded)?;
        let webhooks: Map<String, Value> = (0..ACTIVE).map(|nth| (id(nth), webhook(nth))).collect();
        let file = |name: &str| stand.folder().join(name).display().to_string();
        std::fs::write(file("webhooks.json"), Value::Object(webhooks).to_string())?;
        std::fs::write(file("receiver.json"), json!({ "admin_token": ADMIN }).to_string())?;
        let buffer = format!("embedded:{}", file("data"));
        let (config, own) = (file("webhooks.json"), file("receiver.json"));
        let binary = built_binary()?.display().to_string();
        let command =
            [&binary, "receiver", "--config", &config, "--receiver-config", &own, "--buffer", &buffer];
        let command = command.map(str::to_owned);
        let (process, address) =
            start_listening(&command, "127.0.0.1:0", &stand.folder().join("log")).await?;
        Ok(Self { _process: process, address, _stand: stand })
    }
}

fn id(nth: usize) -> String {
    format!("c{nth}")
}

fn webhook(nth: usize) -> Value {
    json!({
        "data_type": "blob",
        "module": "webhook_connect",
        "module-config": { "channel": id(nth), "channel_token": format!("token_of_{nth}"), "heartbeat_seconds": 60 },
        "hmac": { "secret": SECRET, "header": "X-Hub-Signature-256", "algorithm": "sha256" },
    })
}

/// Takes and acknowledges what one channel was sent; returns how long the last one took to come.
async fn work(address: SocketAddr, nth: usize) -> Result<(), Failed> {
    let mut link = Link::connect(address, &id(nth), &format!("token_of_{nth}"), 10).await?;
    let mut seen = BTreeMap::new();
    while seen.len() < EACH {
        let delivery = link.next(MOST).await?;
        let body = String::from_utf8_lossy(&delivery.webhook.body).into_owned();
        *seen.entry(body).or_insert(0) += 1;
        link.deliver(&delivery).await?;
    }
    let wanted = (0..EACH).map(|each| (format!("{nth} {each}"), 1)).collect();
    ensure_eq("what the channel was sent", &seen, &wanted)?;
    // It stays until everybody is served.
    link.keep_alive().await
}

#[tokio::test]
async fn a_thousand_connectors_on_a_thousand_channels_each_get_their_own() -> Result<(), Failed> {
    let receiver = Wide::start().await?;
    let (address, mut working, mut posting) = (receiver.address, JoinSet::new(), JoinSet::new());
    for nth in 0..ACTIVE {
        working.spawn(work(address, nth));
    }
    until("all are here", MOST, || async {
        let health = http::get(address, "/health", "").await?.json()?;
        Ok((health["connections_count"] == ACTIVE).then_some(()))
    })
    .await?;
    let began = Instant::now();
    for sender in 0..AT_A_TIME {
        posting.spawn(async move {
            let mut client = Client::connect(address).await?;
            for each in 0..EACH {
                for nth in (sender..ACTIVE).step_by(AT_A_TIME) {
                    let body = format!("{nth} {each}");
                    let request = ::http::Request::post(format!("/webhook/{}", id(nth)))
                        .header("host", "localhost")
                        .header("x-hub-signature-256", signature(SECRET, body.as_bytes()));
                    let answer = client.send(request.body(Full::from(body))?).await?;
                    ensure_eq("the status", &answer.status.as_u16(), &200)?;
                }
            }
            Ok::<_, Failed>(())
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted??;
    }
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    println!("{} webhooks on {ACTIVE} channels in {:?}", ACTIVE * EACH, began.elapsed());
    until("all are delivered, and every audit balances", MOST, || async {
        let told = http::get(address, "/admin/webhook-connect/channels", ADMIN).await?.json()?;
        let channels = told["channels"].as_array().cloned().unwrap_or_default();
        let done = |stats: &Value| stats["messages_delivered"] == EACH && stats["audit_imbalance"] == 0;
        Ok((channels.len() == ACTIVE && channels.iter().all(done)).then_some(()))
    })
    .await
}
