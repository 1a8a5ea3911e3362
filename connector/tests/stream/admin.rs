//! `POST /admin/reload-config` beside the status.

use engine::config::Secret;
use engine::pipeline::{Ask, Changes, Reload, Surroundings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::party::stage::request;

/// Answers requests to read the configuration again: the first with changes, further ones with a fault.
async fn operate(mut asked: mpsc::Receiver<Ask>) {
    let mut results =
        vec![Err("no such file".to_owned()), Ok(Changes { unchanged: 3, ..Changes::default() })];
    while let Some(Ask { answer, .. }) = asked.recv().await {
        let result = results.pop().unwrap_or_else(|| Err("asked too often".to_owned()));
        answer.send(result).expect("somebody waits");
    }
}

#[tokio::test]
async fn operators_with_the_token_have_the_configuration_read_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (reload, asked) = Reload::new();
    let admin = connector::Admin { token: Secret::new("t0ken"), reload };
    tokio::spawn(connector::serve_status(listener, Surroundings::new([].into(), stopped), Some(admin)));
    tokio::spawn(operate(asked));
    let ask = |method: &'static str, token: &'static str| async move {
        let head = format!("{method} /admin/reload-config HTTP/1.1\r\nauthorization: Bearer {token}\r\n");
        request(address, &head).await
    };
    assert_eq!(ask("POST", "wrong").await, (401, json!({"detail": "invalid token"})));
    assert_eq!(ask("GET", "t0ken").await, (405, json!({"detail": "only POST is taken here"})));
    let (status, body) = ask("POST", "t0ken").await;
    assert_eq!((status, &body["status"], &body["details"]["unchanged"]), (200, &json!("success"), &json!(3)));
    let (status, body): (u16, Value) = ask("POST", "t0ken").await;
    assert_eq!((status, &body["status"], &body["details"]), (400, &json!("error"), &json!("no such file")));
}
