//! What every connector owes its receiver and its destination.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::case::{Case, Failed, Need, Varies, ensure, ensure_eq};
use crate::party::destination::Manners;
use crate::party::proxy::Mode;
use crate::party::receiver::Setup;
use crate::party::wait::until;
use crate::stand::Stand;
use crate::under_test::rig::Rig;

/// How long a webhook may take to the destination.
const SOON: Duration = Duration::from_secs(10);

/// How long it may take when the connector has to connect or to try again.
const LATER: Duration = Duration::from_secs(45);

/// How long a connector may take to notice a link that went silent.
const NOTICED: Duration = Duration::from_secs(75);

/// How long is waited for something that must not happen.
const NEVER: Duration = Duration::from_secs(2);

const fn case(
    id: &'static str,
    title: &'static str,
    proves: &'static str,
    run: fn(Stand) -> futures::future::BoxFuture<'static, Result<(), Failed>>,
) -> Case {
    Case { id, title, proves, needs_durability: false, needs: Need::Connector, varies: Varies::No, run }
}

pub(super) const CASES: &[Case] = &[
    case(
        "CON-01",
        "webhooks reach the destination once, with their bytes, headers and id",
        "G4 G17",
        |stand| Box::pin(delivers(stand)),
    ),
    case("CON-02", "an acknowledgement follows the destination's 2xx", "G3", |stand| {
        Box::pin(acknowledges_after(stand))
    }),
    case("CON-03", "what the destination refuses for now comes to it again", "G2 G11", |stand| {
        Box::pin(tries_again(stand))
    }),
    case(
        "CON-04",
        "a destination that is down loses nothing, and gets everything when it is back",
        "G6",
        |stand| Box::pin(destination_down(stand)),
    ),
    case("CON-05", "a connection that is cut is made again, and webhooks go on", "G5", |stand| {
        Box::pin(cut(stand))
    }),
    case(
        "CON-06",
        "a webhook that was delivered while the link was away is not delivered twice",
        "G17",
        |stand| Box::pin(delivered_once(stand)),
    ),
    case("CON-07", "a receiver that is killed and restarted finds its connector again", "G14", |stand| {
        Box::pin(receiver_restarts(stand))
    }),
    case("CON-08", "a connector that is killed while it delivers loses nothing", "G14", |stand| {
        Box::pin(killed(stand))
    }),
    case(
        "CON-09",
        "SIGTERM finishes what is being delivered, loses nothing and ends with exit code 0",
        "G13",
        |stand| Box::pin(terminated(stand)),
    ),
    case(
        "CON-10",
        "signs of life keep an idle link, and a link that went silent is given up",
        "G5",
        |stand| Box::pin(signs_of_life(stand)),
    ),
];

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|nth| format!("nth-{nth}"))
}

async fn post(rig: &Rig, count: usize) -> Result<(), Failed> {
    for name in names(count) {
        rig.receiver.accepted(&name, format!("{{\"name\":\"{name}\"}}")).await?;
    }
    Ok(())
}

async fn delivers(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::default()).await?;
    let bodies = [
        ("json", Bytes::from_static(b"{ \"b\" :1,\n\t\"a\":2, \"a\": 3.00 }\r\n")),
        ("binary", Bytes::from_static(b"\x00\xff\xfe not \xc3\x28 text")),
        ("empty", Bytes::new()),
        ("large", Bytes::from(vec![b'x'; 1 << 20])),
    ];
    let mut ids = Vec::new();
    for (name, body) in &bodies {
        ids.push(rig.receiver.accepted(name, body.clone()).await?);
    }
    rig.called(bodies.len(), SOON).await?;
    rig.delivered(4, SOON).await?;
    let calls = rig.calls();
    for ((name, body), id) in bodies.iter().zip(&ids) {
        let own = calls.get(*name).map(Vec::as_slice).unwrap_or_default();
        let [call] = own else {
            let found = own.len();
            return Err(Failed(format!(
                "{id} (`{name}`): expected one call with its headers, found {found}"
            )));
        };
        ensure(call.body == *body, || {
            let (wanted, found) = (body.len(), call.body.len());
            format!(
                "{id} (`{name}`): expected its body of {wanted} bytes unchanged, found another of {found}"
            )
        })?;
        ensure(call.headers.values().any(|value| value == id.as_str()), || {
            format!("{id} (`{name}`): expected its id in a header, found {:?}", call.headers.keys())
        })?;
    }
    Ok(())
}

async fn acknowledges_after(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::default()).await?;
    let delay = Duration::from_millis(1_500);
    rig.destination.behave(Manners { delay, ..Manners::default() });
    let id = rig.receiver.accepted("slow", "1").await?;
    let end = Instant::now() + LATER;
    while rig.destination.count() == 0 {
        let delivered = rig.receiver.stats().await?.count("messages_delivered");
        // Between the two looks the destination may have answered.
        rig.explain(ensure(delivered == 0 || rig.destination.count() > 0, || {
            let begun = rig.destination.begun();
            format!(
                "{id}: expected no acknowledgement before the destination's 2xx, found it acknowledged after {begun} \
                 calls, none of them answered"
            )
        }))?;
        rig.explain(ensure(Instant::now() < end, || {
            format!("{id}: expected a call of the destination within {LATER:?}, found none")
        }))?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.delivered(1, SOON).await
}

async fn tries_again(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::default()).await?;
    rig.destination.answer_next([StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR]);
    let id = rig.receiver.accepted("again", "{ \"same\":  1 }").await?;
    rig.called(3, LATER).await?;
    rig.delivered(1, SOON).await?;
    let calls = rig.destination.calls();
    let answered: Vec<_> = calls.iter().map(|call| call.answered.as_u16()).collect();
    ensure_eq(&format!("the answers to {id}"), &answered, &vec![503, 500, 200])?;
    ensure(calls.iter().all(|call| &call.body[..] == b"{ \"same\":  1 }"), || {
        format!("{id}: expected the same bytes in every call, found {calls:?}")
    })
}

async fn destination_down(stand: Stand) -> Result<(), Failed> {
    let mut rig = Rig::start(&stand, Setup::default()).await?;
    rig.destination.go_down().await;
    post(&rig, 5).await?;
    let end = Instant::now() + NEVER;
    while Instant::now() < end {
        let stats = rig.receiver.stats().await?;
        let gone = stats.count("messages_delivered") + stats.count("messages_dead_lettered");
        rig.explain(ensure(gone == 0, || {
            format!("expected no webhook settled while the destination is down, found {stats}")
        }))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rig.destination.come_back().await?;
    rig.delivered(5, LATER).await?;
    rig.ensure_arrived(names(5))
}

async fn cut(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::default()).await?;
    rig.proxy.set(Mode::Closed);
    let away = rig.receiver.settles("the receiver sees the cut", SOON, |s| s.count("connected_clients") == 0);
    away.await?;
    post(&rig, 5).await?;
    rig.proxy.set(Mode::Pass);
    let began = Instant::now();
    rig.delivered(5, LATER).await?;
    stand.note(format!("all delivered {} ms after the way was free", began.elapsed().as_millis()));
    rig.ensure_arrived(names(5))
}

async fn delivered_once(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::default()).await?;
    rig.destination.behave(Manners { delay: Duration::from_millis(1_500), ..Manners::default() });
    let id = rig.receiver.accepted("once", "1").await?;
    rig.begun(1, SOON).await?;
    rig.proxy.set(Mode::Closed);
    // The destination confirms while nobody can be told.
    rig.called(1, SOON).await?;
    rig.proxy.set(Mode::Pass);
    rig.delivered(1, LATER).await?;
    tokio::time::sleep(NEVER).await;
    rig.explain(ensure(rig.destination.begun() == 1, || {
        let found = rig.destination.begun();
        format!("{id}: expected one call of the destination, which confirmed it, found {found}")
    }))
}

async fn receiver_restarts(stand: Stand) -> Result<(), Failed> {
    let mut rig = Rig::start(&stand, Setup::default()).await?;
    rig.receiver.accepted("before", "1").await?;
    rig.delivered(1, SOON).await?;
    rig.receiver.kill().await?;
    rig.receiver.restart().await?;
    post(&rig, 5).await?;
    rig.delivered(6, LATER).await?;
    rig.ensure_arrived(names(5))
}

async fn killed(stand: Stand) -> Result<(), Failed> {
    let mut rig = Rig::start(&stand, Setup::default()).await?;
    rig.destination.behave(Manners { delay: Duration::from_millis(300), ..Manners::default() });
    post(&rig, 10).await?;
    rig.begun(3, SOON).await?;
    rig.connector.kill().await?;
    rig.start_again()?;
    rig.delivered(10, LATER).await?;
    let calls = rig.destination.begun();
    stand.note(format!("10 webhooks, {calls} calls of the destination"));
    rig.ensure_arrived(names(10))
}

async fn terminated(stand: Stand) -> Result<(), Failed> {
    let mut rig = Rig::start(&stand, Setup::default()).await?;
    rig.destination.behave(Manners { delay: Duration::from_secs(1), ..Manners::default() });
    post(&rig, 3).await?;
    rig.begun(1, SOON).await?;
    rig.connector.terminate();
    let began = Instant::now();
    let status = rig.connector.ended(LATER).await;
    let status = status.map_err(|why| rig.explain(Err(why)).err().unwrap_or(Failed(String::new())))?;
    stand.note(format!("ended {} ms after SIGTERM", began.elapsed().as_millis()));
    rig.explain(ensure(status.success(), || format!("expected exit code 0 after SIGTERM, found {status}")))?;
    let begun = i64::try_from(rig.destination.begun()).unwrap_or(i64::MAX);
    let finished = rig.receiver.stats().await?.count("messages_delivered");
    rig.explain(ensure(finished == begun, || {
        format!("expected the {begun} deliveries in flight to be finished and acknowledged, found {finished}")
    }))?;
    rig.start_again()?;
    rig.delivered(3, LATER).await?;
    let calls = rig.destination.begun();
    rig.explain(ensure(calls <= 6, || {
        format!("expected at most what was in flight twice, found {calls} calls")
    }))?;
    rig.ensure_arrived(names(3))
}

async fn signs_of_life(stand: Stand) -> Result<(), Failed> {
    let rig = Rig::start(&stand, Setup::limits(json!({ "heartbeat_seconds": 1 }))).await?;
    let (mut looks, mut away, end) = (0, 0, Instant::now() + Duration::from_secs(4));
    while Instant::now() < end {
        looks += 1;
        away += u32::from(rig.receiver.stats().await?.count("connected_clients") == 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Between two polls there is a moment without a connection.
    rig.explain(ensure(away * 10 <= looks, || {
        format!(
            "expected a connection that lasts over four heartbeats, found none at {away} of {looks} looks"
        )
    }))?;
    let before = rig.proxy.connections();
    rig.proxy.set(Mode::Stall);
    let began = Instant::now();
    let again = until("another connection", NOTICED, || async {
        Ok((rig.proxy.connections() > before).then_some(()))
    });
    rig.explain(again.await.map_err(|_| {
        Failed(format!(
            "expected another connection within {NOTICED:?} after the link went silent, found none"
        ))
    }))?;
    rig.proxy.set(Mode::Pass);
    stand.note(format!("connected again {} ms after the link went silent", began.elapsed().as_millis()));
    post(&rig, 1).await?;
    rig.delivered(1, LATER).await?;
    rig.ensure_arrived(names(1))
}
