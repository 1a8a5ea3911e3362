//! The compatible dialect on a WebSocket: JSON text messages, webhooks by message id.

use std::sync::Arc;

use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use engine::clock;
use engine::webhook::Webhook;
use futures::{FutureExt, SinkExt, StreamExt};
use schemas::wire::compatible::{self, BodyForm, FromConnector, LARGEST_TEXT, LARGEST_UNANNOUNCED};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval_at};
use tracing::warn;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, Utf8Bytes};

use crate::announced::Announced;
use crate::channel::Channel;
use crate::holder::Which;
use crate::listener::Shared;
use crate::session::{self, Ear, End, GOODBYE, Said, Say, Session, WRITING, Wish};
use crate::transport::websocket::{Socket, Transport};

/// The close code of a connection beyond the channel's limit.
const TOO_MANY: u16 = 4003;

/// Closes a connection that is one too many.
pub(crate) async fn turn_away(mut socket: Socket) {
    let frame = CloseFrame {
        code: CloseCode::from(TOO_MANY),
        reason: Utf8Bytes::from_static("Max connections reached"),
    };
    // The connector sees the end either way.
    drop(tokio::time::timeout(GOODBYE, socket.close(Some(frame))).await);
}

/// Speaks with one connector until either end leaves.
pub(crate) async fn run(socket: Socket, announced: Announced, channel: Arc<Channel>, shared: Arc<Shared>) {
    let name = session::name(if announced.tap { session::TAP } else { "wsc_" });
    let (sink, stream) = socket.split();
    let (out, says) = mpsc::channel(WRITING);
    let largest = if announced.version { LARGEST_TEXT } else { LARGEST_UNANNOUNCED };
    let wish = Wish {
        connection: name.clone(),
        connector: announced.connector.clone().unwrap_or_default(),
        window: announced.window,
        carries: Some(announced.carries(Some(largest))),
        lively: announced.version,
        tap: announced.tap,
    };
    let begun = Session::begin(wish, &channel, &shared, out.clone()).await;
    let heartbeat = channel.limits.heartbeat();
    let voice = Voice { sink, form: announced.form(), beats: interval_at(Instant::now(), heartbeat) };
    let mut writer = tokio::spawn(voice.write(says, name.clone(), channel.name.clone()));
    let end = match begun {
        Ok(session) => session.serve(&mut TextEar(stream)).await,
        Err(end) => end,
    };
    session::log_end(&end, &channel, &name);
    drop(out);
    if tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        writer.abort();
        warn!(channel = channel.name, session = name, "the last messages could not be written in time");
    }
}

/// The writing side. It gives the signs of life by itself, so that they come under load too.
struct Voice {
    sink: WebSocketSender<Transport>,
    form: BodyForm,
    beats: Interval,
}

impl Voice {
    /// Writes until nobody has anything more to say, then closes.
    async fn write(mut self, mut says: mpsc::Receiver<Say>, connection: String, channel: String) {
        // A connector that cannot be written to is seen by the reading end too.
        drop(self.write_on(&mut says, &connection, &channel).await);
        drop(self.sink.close(None).await);
    }

    async fn write_on(
        &mut self,
        says: &mut mpsc::Receiver<Say>,
        connection: &str,
        channel: &str,
    ) -> Result<(), tungstenite::Error> {
        self.text(compatible::connected(connection, channel, clock::now())).await?;
        // The first beat is due at once.
        loop {
            let say = tokio::select! {
                biased;
                _ = self.beats.tick() => {
                    self.text(compatible::heartbeat(clock::now())).await?;
                    continue;
                }
                say = says.recv() => say,
            };
            match say {
                Some(Say::Deliver(webhooks)) => self.deliver(webhooks).await?,
                Some(Say::Gap(gap)) => self.text(compatible::gap(gap)).await?,
                Some(Say::Ping(_) | Say::Pong(_) | Say::Bye(_)) => {}
                None => return Ok(()),
            }
        }
    }

    /// Writes webhooks. They go to the connection together, or earlier when there are many bytes of them.
    async fn deliver(&mut self, webhooks: Vec<(u64, Webhook)>) -> Result<(), tungstenite::Error> {
        for (_, webhook) in webhooks {
            if self.beats.tick().now_or_never().is_some() {
                self.text(compatible::heartbeat(clock::now())).await?;
            }
            let text = compatible::webhook(&webhook, self.form);
            self.sink.feed(Message::Text(text.into())).await?;
        }
        self.sink.flush().await
    }

    async fn text(&mut self, text: String) -> Result<(), tungstenite::Error> {
        WebSocketSender::send(&mut self.sink, Message::Text(text.into())).await
    }
}

struct TextEar(WebSocketReceiver<Transport>);

impl Ear for TextEar {
    const SETTLES: bool = true;

    async fn hear(&mut self) -> Result<Vec<Said>, End> {
        let message = self.0.next().await.ok_or(End::Closed)?;
        let said = match message.map_err(|error| End::Broken(Box::new(error)))? {
            Message::Text(text) => match FromConnector::decode(&text) {
                Ok(told) => understand(told),
                Err(why) => Said::Nonsense(why.to_string()),
            },
            Message::Close(_) => return Err(End::Closed),
            Message::Binary(_) => Said::Nonsense("a binary message".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Said::Life,
        };
        Ok(vec![said])
    }
}

fn understand(told: FromConnector) -> Said {
    let which = |message: &str| message.parse().map(Which::Message);
    let unknown = || Said::Nonsense("a settlement of a webhook that is not in flight".to_owned());
    match told {
        FromConnector::Settle { message, outcome } => {
            which(&message).map_or_else(|_| unknown(), |which| Said::Settle(which, outcome))
        }
        FromConnector::Progress { message } => which(&message).map_or_else(|_| unknown(), Said::Progress),
        FromConnector::Window(window) => Said::Window(window),
        FromConnector::Heartbeat => Said::Heartbeat,
    }
}
