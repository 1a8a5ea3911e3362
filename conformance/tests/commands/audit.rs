//! `audit`: exit code 0 when the books balance, 1 when they do not, 3 when they cannot be had.

use conformance::case::Failed;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{ADMIN, Deployment, run};

#[tokio::test]
async fn every_channel_of_a_receiver_balances() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    deployment.post("gate").await?;
    deployment.post("gate").await?;
    let ended = run(&["audit", "--receiver", &deployment.url(), "--admin-token", ADMIN]).await?;
    assert_eq!(ended.code, 0, "{}", ended.whole());
    let wanted = "\
channel  accepted  delivered  queued  in_flight  dead_lettered  expired  dropped  purged  balance
gate            2          0       2          0              0        0        0       0  ok
other           0          0       0          0              0        0        0       0  ok
";
    assert_eq!(ended.out, wanted);
    let one = ["audit", "--receiver", &deployment.url(), "--admin-token", ADMIN, "--channel", "gate"];
    let told = run(&[&one[..], &["--format", "json"]].concat()).await?.json();
    assert_eq!(told["balanced"], json!(true));
    assert_eq!(told["channels"][0]["channel"], json!("gate"));
    assert_eq!((&told["channels"][0]["queued"], &told["channels"][1]), (&json!(2), &Value::Null));
    Ok(())
}

/// Answers every request with `figures` of one channel, as a receiver would that lost count.
async fn lost_count(figures: Value) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = json!({ "channels": [figures], "channels_away": 0 }).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.read(&mut [0; 4_096]).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    Ok(url)
}

#[tokio::test]
async fn an_imbalance_is_told_with_the_figure_that_is_off_and_by_how_much() -> Result<(), Failed> {
    let figures = |delivered: i64, told: i64| {
        json!({
            "channel": "events", "messages_accepted": 10, "messages_delivered": delivered, "messages_queued": 1,
            "messages_in_flight": 0, "messages_dead_lettered": 0, "messages_expired": 0, "messages_dropped": 0,
            "messages_purged": 0, "audit_imbalance": told,
        })
    };
    let audit = |url: String| async move { run(&["audit", "--receiver", &url, "--admin-token", "t"]).await };
    let ended = audit(lost_count(figures(7, 2)).await?).await?;
    assert_eq!(ended.code, 1, "{}", ended.whole());
    assert!(ended.out.contains("events: accepted 10, but 8 accounted for: 2 missing\n"), "{}", ended.whole());
    let ended = audit(lost_count(figures(12, 0)).await?).await?;
    assert_eq!(ended.code, 1, "{}", ended.whole());
    let told = "accepted 10, but 13 accounted for: 3 too many; the receiver says audit_imbalance 0";
    assert!(ended.out.contains(told), "{}", ended.whole());
    let sound = audit(lost_count(figures(9, 0)).await?).await?;
    assert_eq!(sound.code, 0, "{}", sound.whole());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_apart_from_what_is_off() -> Result<(), Failed> {
    let deployment = Deployment::start(json!({})).await?;
    let url = deployment.url();
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let nobody = format!("http://{free}");
    let mute = TcpListener::bind("127.0.0.1:0").await?;
    let silent = format!("http://{}", mute.local_addr()?);
    for (arguments, code, told) in [
        (vec!["--receiver", &url, "--admin-token", "wrong"], 3, "the admin token is refused"),
        (vec!["--receiver", &nobody, "--admin-token", ADMIN], 3, "no connection to"),
        (vec!["--receiver", &silent, "--admin-token", ADMIN], 3, "was not answered within 15s"),
        (
            vec!["--receiver", "http://nowhere.invalid", "--admin-token", ADMIN],
            3,
            "`nowhere.invalid` cannot be found",
        ),
        (vec!["--receiver", &url, "--admin-token", ADMIN, "--channel", "c"], 3, "no channel `c`"),
        (vec!["--receiver", "ftp://a", "--admin-token", ADMIN], 2, "`ftp://a` is not http://HOST[:PORT]"),
        (vec!["--receiver", &url], 2, "--admin-token"),
    ] {
        let ended = run(&[&["audit"][..], &arguments].concat()).await?;
        assert_eq!(ended.code, code, "{arguments:?}: {}", ended.whole());
        assert!(ended.complaint.contains(told), "{arguments:?}: {}", ended.whole());
    }
    Ok(())
}
