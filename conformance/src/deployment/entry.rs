//! Whether the suite may begin: everything answers, and the channel is free.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::case::Failed;
use crate::deployment::{Options, Refused, clean};
use crate::party::connector::Link;
use crate::party::http;
use crate::party::post::Posted;
use crate::party::receiver::{Receiver, Target};

/// How long connections of earlier runs may take to be gone.
const GONE: Duration = Duration::from_secs(3);

/// How long putting off what is queued may take.
const PUT_OFF: Duration = Duration::from_secs(20);

/// How long is waited for one more webhook of others.
const MORE: Duration = Duration::from_millis(500);

/// How long webhooks wait for their ACK where the receiver does not say it.
const ACK_DEADLINE: Duration = Duration::from_secs(30);

/// Checks that the suite may begin, and returns the ACK deadline of the channel.
pub(super) async fn enter(options: &Options) -> Result<Duration, Refused> {
    let Options { target, take_over, .. } = options;
    let queued = free(target).await?;
    if queued > 0 && !take_over {
        return Err(Refused(format!(
            "channel `{}` has {queued} webhooks that are not the suite's: have them delivered first, or give \
             --take-over, which gives them back unsettled, to come again after a minute",
            target.channel
        )));
    }
    let refused = |Failed(why)| Refused(why);
    let posted = Posted::marked(&engine::webhook::Id::new().to_string(), "entry", "probe");
    if queued > 0 {
        put_off(target, &posted).await.map_err(refused)?;
    }
    let receiver = Receiver::there(target.clone(), posted.clone()).await.map_err(refused)?;
    let answer = receiver.send("probe", "1").await.map_err(refused)?;
    if !answer.status.is_success() {
        let said = String::from_utf8_lossy(&answer.body);
        return Err(Refused(format!(
            "a webhook posted to /webhook/{} was answered {} {said}: expected 2xx. The sender proves itself by --header",
            target.webhook, answer.status
        )));
    }
    let deadline = learn(target, &posted).await;
    clean(target, &posted).await.map_err(refused)?;
    Ok(deadline)
}

/// Waits until nobody else is connected, and returns how many webhooks there are.
async fn free(target: &Target) -> Result<i64, Refused> {
    let end = Instant::now() + GONE;
    loop {
        let stats = figures(target).await?;
        let figure = |name: &str| stats[name].as_i64().unwrap_or(0);
        let clients = figure("connected_clients");
        if clients == 0 {
            return Ok(figure("messages_queued") + figure("messages_in_flight"));
        }
        if Instant::now() > end {
            return Err(Refused(format!(
                "channel `{}` has {clients} other connectors, which would be handed the suite's webhooks: stop them, \
                 or give the suite a channel of its own",
                target.channel
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the figures of the channel, after both tokens were accepted.
async fn figures(target: &Target) -> Result<Value, Refused> {
    let Target { site, channel, token, admin, .. } = target;
    let unreachable = |Failed(why)| Refused(why);
    let answer = http::get(site, &format!("/connect/status/{channel}"), token.expose()).await;
    let answer = answer.map_err(unreachable)?;
    match answer.status.as_u16() {
        200 => {}
        401 | 403 => {
            return Err(Refused(format!("the token of channel `{channel}` is refused, or there is none")));
        }
        other => return Err(Refused(format!("the status of channel `{channel}` was answered {other}"))),
    }
    if let Some(admin) = admin {
        let path = format!("/admin/webhook-connect/channels/{channel}/stats");
        match http::get(site, &path, admin.expose()).await.map_err(unreachable)?.status.as_u16() {
            200 => {}
            401 => return Err(Refused("the admin token is refused".to_owned())),
            404 => return Err(Refused("the receiver has no admin API here".to_owned())),
            other => return Err(Refused(format!("the admin API answered {other}"))),
        }
    }
    Ok(answer.json().map_err(unreachable)?["stats"].take())
}

/// Gives back what others have queued, to come again later.
async fn put_off(target: &Target, posted: &Posted) -> Result<(), Failed> {
    let link = Link::connect(&target.site, &target.channel, target.token.expose(), 100).await?;
    let mut link = link.taking(posted.clone());
    // Each one that comes is given back beneath; silence means that no more is due.
    let end = Instant::now() + PUT_OFF;
    let mut before = 0;
    while Instant::now() < end {
        drop(link.maybe(MORE).await?);
        if link.put_off() == before {
            return Ok(());
        }
        before = link.put_off();
    }
    Err(Failed(format!("the webhooks queued in channel `{}` do not end within {PUT_OFF:?}", target.channel)))
}

/// Learns the ACK deadline from the native greeting.
async fn learn(target: &Target, posted: &Posted) -> Duration {
    match Link::connect(&target.site, &target.channel, target.token.expose(), 1).await {
        Ok(link) => {
            let link = link.taking(posted.clone());
            link.greeting().map_or(ACK_DEADLINE, |greeting| greeting.ack_deadline)
        }
        // The cases say what is wrong with it.
        Err(Failed(_)) => ACK_DEADLINE,
    }
}
