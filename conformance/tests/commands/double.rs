//! A receiver that is broken on purpose: every acknowledgement is lost on its way. The suite must notice.

use std::net::SocketAddr;

use conformance::case::Failed;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::{Deployment, conform, run};

/// What acknowledgements by HTTP are answered, and nothing is done.
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n{\"status\":\"ok\"}";

/// The frames that a connector may say before it acknowledges: its greeting.
const GREETING: usize = 1;

/// Starts a proxy that loses acknowledgements, and returns its URL.
async fn losing_acks(target: SocketAddr) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            // Whichever end breaks, the connection is over.
            tokio::spawn(async move { drop(pass(near, target).await) });
        }
    });
    Ok(url)
}

async fn pass(mut near: TcpStream, target: SocketAddr) -> Result<(), Failed> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if text.starts_with("post /connect/ack") {
        near.write_all(DONE).await?;
        return Ok(());
    }
    let mut far = TcpStream::connect(target).await?;
    far.write_all(&head).await?;
    let (mut near_read, mut near_write) = near.split();
    let (mut far_read, mut far_write) = far.split();
    let back = copy(&mut far_read, &mut near_write);
    let forth = async {
        if text.contains("upgrade: websocket") {
            let frames = if text.contains("webhook-connect.v1") { GREETING } else { 0 };
            for _ in 0..frames {
                let frame = read_frame(&mut near_read).await?;
                far_write.write_all(&frame).await?;
            }
            copy(&mut near_read, &mut tokio::io::sink()).await?;
        } else {
            copy(&mut near_read, &mut far_write).await?;
        }
        Ok::<_, Failed>(())
    };
    tokio::select! {
        back = back => drop(back?),
        forth = forth => forth?,
    }
    Ok(())
}

/// Reads a masked frame of a client of less than 126 bytes.
async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>, Failed> {
    let mut frame = vec![from.read_u8().await?, from.read_u8().await?];
    let more = usize::from(frame[1] & 0x7f) + 4;
    let mut rest = vec![0; more];
    from.read_exact(&mut rest).await?;
    frame.extend(rest);
    Ok(frame)
}

#[tokio::test]
async fn a_receiver_that_loses_acknowledgements_fails_and_the_case_says_what_was_seen() -> Result<(), Failed>
{
    let deployment = Deployment::start(json!({})).await?;
    let url = losing_acks(deployment.address).await?;
    let ended = run(&conform(&url, &["--case", "ACK-01", "--case", "TRN-01"])).await?;
    assert_eq!(ended.code, 1, "{}", ended.whole());
    let failed: Vec<_> = ended.out.lines().filter(|line| line.starts_with("FAIL ")).collect();
    assert!(!failed.is_empty() && failed.iter().all(|line| line.contains(" ACK-01 ")), "{}", ended.whole());
    for told in ["expected within 5s: the webhook is delivered", "delivered 0", "webhooks of this case: msg_"]
    {
        assert!(ended.out.contains(told), "`{told}` in: {}", ended.whole());
    }
    assert!(ended.out.contains("ok    TRN-01  websocket "), "{}", ended.whole());
    Ok(())
}
