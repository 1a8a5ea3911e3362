//! Fidelity: what comes out is what went in.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::destination::Destination;
use crate::party::github::Packages;
use crate::party::receiver::{CHANNEL, Receiver, SECRET, Setup, TOKEN, WEBHOOK};
use crate::party::wait::until;
use crate::party::{http as client, sender};
use crate::stand::Stand;

/// How long a webhook may take to the end.
const SOON: Duration = Duration::from_secs(10);

/// The largest body there may be, in bytes.
const LARGEST: usize = 10_485_760;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "FID-01",
        title: "bodies, headers, method, path and query come through unchanged",
        proves: "G4",
        needs_durability: false,
        needs: Need::Nothing,
        varies: Varies::All,
        run: |stand| Box::pin(unchanged(stand)),
    },
    Case {
        id: "FID-02",
        title: "real payloads reach an HTTP destination byte for byte, and their signatures verify there",
        proves: "G4",
        needs_durability: false,
        needs: Need::Connector,
        varies: Varies::No,
        run: |stand| Box::pin(real_payloads(stand)),
    },
    Case {
        id: "FID-03",
        title: "time, source, webhook id, sequence and attempt reach connector and destination",
        proves: "F1.10 G17",
        needs_durability: false,
        needs: Need::Settings("trusted_proxies"),
        varies: Varies::No,
        run: |stand| Box::pin(metadata(stand)),
    },
];

/// Returns a connector.json that sends the channel's webhooks to `url`.
pub(super) fn to_http(receiver: &Receiver, url: &str) -> Value {
    json!({
        "cloud": { "url": format!("http://{}", receiver.address()), "token": TOKEN },
        "routes": { CHANNEL: { "module": "http_webhook", "module-config": { "url": url } } },
    })
}

async fn unchanged(stand: Stand) -> Result<(), Failed> {
    let receiver = stand.receiver(Setup::default()).await?;
    let mut link = receiver.link(100).await?;
    // A channel that others use gets one that every entry takes.
    let mut large = vec![0_u8; if stand.is_own() { LARGEST } else { 256 * 1024 }];
    large.iter_mut().zip((0_u8..=255).cycle()).for_each(|(byte, value)| *byte = value);
    let bodies: Vec<Bytes> = vec![
        Bytes::from_static(b"{ \"b\" :1,\n\t\"a\":2, \"a\": 3 }\r\n"),
        Bytes::from_static(b"{\"n\":12345678901234567890.000000000000000000010e+400}"),
        Bytes::from_static(b"\x00\xff\xfe not \xc3\x28 text"),
        Bytes::new(),
        large.into(),
    ];
    let mut count = 0;
    for body in bodies {
        let answer = receiver.request("awkward", awkward_request(&receiver, &body)?).await?;
        if !stand.is_own() && matches!(answer.status.as_u16(), 400 | 415 | 422) && !is_json(&body) {
            stand.note(format!(
                "a body of {} bytes that is no JSON was left out: {}",
                body.len(),
                answer.status
            ));
            continue;
        }
        ensure(answer.status.is_success(), || {
            format!("the answer to a body of {} bytes: expected 2xx, found {}", body.len(), answer.status)
        })?;
        count += 1;
        let delivery = link.next(SOON).await?;
        let webhook = &delivery.webhook;
        ensure(webhook.body == body, || {
            let (id, found) = (webhook.id(), webhook.body.len());
            format!("{id}: expected its body of {} bytes unchanged, found another of {found}", body.len())
        })?;
        let head = &webhook.head;
        ensure_eq("the method", &head.method.to_string(), &"POST".to_owned())?;
        let target = format!("/webhook/{}?a=1&a=%20%C3%A9&empty=&=x", receiver.target().webhook);
        ensure_eq("path and query", &head.target.to_string(), &target)?;
        let repeats: Vec<&[u8]> =
            head.headers.iter().filter(|(name, _)| *name == "x-repeat").map(|(_, value)| value).collect();
        ensure_eq("repeated headers", &repeats, &vec![&b"one"[..], b"", b"two, three"])?;
        ensure_eq("a value outside ASCII", &head.headers.get("x-latin"), &Some(&b"caf\xe9"[..]))?;
        ensure_eq("a hop-by-hop header", &head.headers.get("x-hop"), &None)?;
        link.deliver(&delivery).await?;
    }
    receiver.settles("all are delivered", SOON, |stats| stats.count("messages_delivered") == count).await?;
    Ok(())
}

fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<&RawValue>(text).is_ok())
}

fn awkward_request(receiver: &Receiver, body: &Bytes) -> Result<Request<Full<Bytes>>, Failed> {
    let request = receiver
        .post("?a=1&a=%20%C3%A9&empty=&=x", body)
        .header("x-repeat", "one")
        .header("x-repeat", "")
        .header("x-repeat", "two, three")
        .header("x-latin", HeaderValue::from_bytes(b"caf\xe9")?)
        .header("connection", "x-hop")
        .header("x-hop", "for this connection only");
    Ok(request.body(Full::new(body.clone()))?)
}

async fn real_payloads(stand: Stand) -> Result<(), Failed> {
    let target = stand.binary()?.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    let packages = Packages::fetch(&target.join("github-packages"), &stand.folder().join("npm")).await?;
    let examples = packages.examples()?;
    ensure(examples.len() > 100, || format!("a whole corpus, found {} examples", examples.len()))?;
    let receiver = stand.receiver(Setup { data_type: "json", ..Setup::default() }).await?;
    let destination = Destination::start().await?;
    let mut connector = stand.connector(&to_http(&receiver, &destination.url()))?;
    for (nth, (event, body)) in examples.iter().enumerate() {
        let request = sender::post(body)
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header(sender::DELIVERY, nth.to_string())
            .body(Full::new(body.clone()))?;
        let answer = client::send(receiver.address(), request).await?;
        ensure_eq("the answer", &answer.status.as_u16(), &200)?;
    }
    let all = examples.len();
    let arrived = until("every payload arrives", Duration::from_secs(60), || {
        let calls = destination.calls();
        async move { Ok((calls.len() >= all).then_some(calls)) }
    });
    let calls = arrived.await.map_err(|Failed(why)| {
        Failed(format!(
            "{why}: {} of {all}\n{}",
            destination.calls().len(),
            connector.log().unwrap_or_default()
        ))
    })?;
    for call in &calls {
        let nth: usize = call.header(sender::DELIVERY).parse()?;
        let (event, body) = examples.get(nth).ok_or_else(|| Failed(format!("no example {nth}")))?;
        ensure_eq("the event", &call.header("x-github-event"), &event.as_str())?;
        ensure(call.body == *body, || format!("example {nth} came out changed"))?;
    }
    let verified = packages.verified(&calls, SECRET, stand.folder()).await?;
    ensure_eq("signatures that GitHub's client library verifies", &verified, &all)?;
    let total: usize = examples.iter().map(|(_, body)| body.len()).sum();
    stand.note(format!(
        "{} payloads, {total} bytes; GitHub's client library verified {verified} signatures",
        calls.len()
    ));
    receiver
        .settles("all are delivered", SOON, |stats| {
            stats.count("messages_delivered") == i64::try_from(all).unwrap_or(0)
        })
        .await?;
    connector.kill().await
}

async fn metadata(stand: Stand) -> Result<(), Failed> {
    let proxies = json!({ "trusted_proxies": ["127.0.0.0/8"] });
    let receiver = stand.receiver(Setup { receiver: proxies, ..Setup::default() }).await?;
    let before = SystemTime::now();
    let body = Bytes::from_static(b"1");
    let request = sender::post(&body)
        .header("x-forwarded-for", "6.6.6.6, 203.0.113.9, 127.0.0.2")
        .header(sender::DELIVERY, "a")
        .body(Full::new(body))?;
    let answer = client::send(receiver.address(), request).await?;
    let id = answer.json()?["message_id"].as_str().unwrap_or_default().to_owned();
    let mut link = receiver.link(1).await?;
    let one = link.next(SOON).await?;
    let head = &one.webhook.head;
    ensure_eq("the webhook id", &head.webhook.to_string(), &WEBHOOK.to_owned())?;
    ensure_eq("the source", &head.source.to_string(), &"203.0.113.9".to_owned())?;
    let now = SystemTime::now();
    ensure(head.received >= before - Duration::from_millis(1) && head.received <= now, || {
        format!("the time of reception, found {:?}", head.received)
    })?;
    let transit = &one.webhook.transit;
    ensure_eq("sequence and attempt", &(transit.sequence, transit.attempt), &(1, 1))?;
    ensure(transit.expires.is_some_and(|expires| expires > now), || "when it expires".to_owned())?;
    drop(link);
    let destination = Destination::start().await?;
    let mut connector = stand.connector(&to_http(&receiver, &destination.url()))?;
    let call = until("it arrives at the destination", SOON, || {
        let first = destination.calls().into_iter().next();
        async move { Ok(first) }
    })
    .await?;
    let wanted = [
        ("x-webhook-connect-id", id.as_str()),
        ("x-webhook-connect-channel", CHANNEL),
        ("x-webhook-connect-webhook", WEBHOOK),
        ("x-webhook-connect-sequence", "1"),
        ("x-webhook-connect-attempt", "2"),
        ("x-webhook-connect-source-ip", "203.0.113.9"),
        ("webhook-id", id.as_str()),
        ("idempotency-key", id.as_str()),
    ];
    for (name, value) in wanted {
        ensure_eq(name, &call.header(name), &value)?;
    }
    ensure(!call.header("x-webhook-connect-received-at").is_empty(), || "the time of reception".to_owned())?;
    connector.kill().await
}
