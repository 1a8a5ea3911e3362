//! A running `subscribe` stage whose destination is the test.

use std::net::SocketAddr;
use std::time::Duration;

use engine::ack::Outcome;
use engine::config::{Faults, Node, Pointer};
use engine::kind::{Blueprint, Context, StageError, Wiring};
use engine::meter::{Edge, Meter, Metric};
use engine::pipeline::Surroundings;
use engine::port::{self, In, Verified};
use engine::webhook::Event;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

pub(crate) struct Stage {
    pub(crate) meter: Meter,
    destination: In<Verified>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), StageError>>,
    status: SocketAddr,
}

/// Settings that reconnect at once.
pub(crate) fn settings(receiver: SocketAddr, more: Value) -> Value {
    let mut settings = json!({
        "url": format!("http://{receiver}"),
        "channel": "payments",
        "token": "s3cret",
        "reconnect": { "initial_seconds": 0.001, "max_seconds": 0.01 },
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

/// Returns what is wrong with `settings`.
pub(crate) fn faults(settings: Value) -> String {
    let mut faults = Faults::default();
    let node = Node::new(settings, Pointer::root());
    drop((connector::kinds()[0].parse)(&node, &mut faults));
    format!("{faults:?}")
}

impl Stage {
    pub(crate) async fn start(receiver: SocketAddr, more: Value) -> Self {
        let mut faults = Faults::default();
        let node = Node::new(settings(receiver, more), Pointer::root());
        let Some(Blueprint::Stage(build)) = (connector::kinds()[0].parse)(&node, &mut faults) else {
            panic!("refused: {faults:?}");
        };
        let (stop, stopped) = watch::channel(false);
        let cx = Context::new("payments.subscribe", stopped.clone());
        let stage = build.open(&cx).await.unwrap();
        let (out, destination) = port::edge(port::CAPACITY, Edge::new(&cx.meter, "payments.retry"));
        let task = tokio::spawn(stage.run(Wiring { out: Some(out), ..Wiring::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let status = listener.local_addr().unwrap();
        // The status outlives the stage, so that its end is shown too.
        let ((forever, never), lasting) = (watch::channel(false), cx.lasting);
        let resources = cx.resources.clone();
        let surroundings =
            Surroundings { meter: cx.meter.clone(), resources, ..Surroundings::new([].into(), never) };
        let serving = connector::serve_status(listener, surroundings, None);
        tokio::spawn(async move {
            serving.await;
            drop((forever, lasting));
        });
        Self { meter: cx.meter, destination, stop, task, status }
    }

    /// Waits for the next webhook at the destination.
    pub(crate) async fn arrives(&mut self) -> Event {
        soon("a webhook", self.destination.recv()).await.expect("the stage ended")
    }

    /// Confirms the next webhook.
    pub(crate) async fn confirm(&mut self) {
        self.arrives().await.ack.settle(Outcome::Delivered);
    }

    /// Returns true when a webhook is here already. The receiver has caught up before.
    pub(crate) async fn has_arrived(&mut self) -> bool {
        matches!(tokio::time::timeout(Duration::from_millis(50), self.destination.recv()).await, Ok(Some(_)))
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn ended(self) -> Result<(), StageError> {
        soon("the end", self.task).await.unwrap()
    }

    /// Ends the next stage and waits for what this one says.
    pub(crate) async fn ended_without_destination(self) -> Result<(), StageError> {
        drop(self.destination);
        soon("the end", self.task).await.unwrap()
    }

    pub(crate) fn count(&self, metric: Metric, place: &str, kind: &str) -> u64 {
        self.meter.counter(metric, place, kind).get()
    }

    /// Asks over HTTP; returns the status and the body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, Value) {
        request(self.status, &format!("GET {path} HTTP/1.1\r\n")).await
    }

    /// Waits until the channel's status fits.
    pub(crate) async fn status_becomes(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..500 {
            last = self.ask("/status").await.1["channels"]["payments"].clone();
            if fits(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the status stays {last}");
    }
}

/// Asks over HTTP with this beginning of a request; returns the status and the body.
pub(crate) async fn request(address: SocketAddr, head: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}host: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the status", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}
