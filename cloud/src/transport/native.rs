//! The native dialect on a WebSocket: binary frames, webhooks by number.

use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::{WebSocketReceiver, WebSocketSender};
use engine::ack::Outcome;
use futures::StreamExt;
use schemas::wire::LARGEST_FRAME;
use schemas::wire::frame::{Delivery, Frame, Settle};
use tokio::sync::mpsc;
use tracing::warn;
use tungstenite::Message;

use crate::channel::Channel;
use crate::holder::Which;
use crate::listener::Shared;
use crate::session::{self, Ear, End, GOODBYE, Said, Say, Session, WRITING, Wish};
use crate::transport::websocket::{Socket, Transport};

/// How long a connector may take for its first frame.
const HELLO: Duration = Duration::from_secs(10);

/// Speaks with one connector until either end leaves.
pub(crate) async fn run(socket: Socket, channel: Arc<Channel>, shared: Arc<Shared>) {
    let name = session::name("ses_");
    let (mut sink, stream) = socket.split();
    let mut ear = NativeEar(stream);
    let (out, says) = mpsc::channel(WRITING);
    let begun = greet(&mut ear, &mut sink, &channel, &shared, &name, out.clone()).await;
    let mut writer = tokio::spawn(write(sink, says));
    let end = match begun {
        Ok(session) => session.serve(&mut ear).await,
        Err(end) => end,
    };
    session::log_end(&end, &channel, &name);
    drop(tokio::time::timeout(GOODBYE, out.send(Say::Bye(end.to_string()))).await);
    drop(out);
    // Dropping the writer closes the connection, whatever it still had to say.
    if tokio::time::timeout(GOODBYE, &mut writer).await.is_err() {
        writer.abort();
        warn!(channel = channel.name, session = name, "the last frames could not be written in time");
    }
}

/// Takes the first frame, claims the connector's window and answers.
async fn greet(
    ear: &mut NativeEar,
    sink: &mut WebSocketSender<Transport>,
    channel: &Arc<Channel>,
    shared: &Shared,
    name: &str,
    out: mpsc::Sender<Say>,
) -> Result<Session, End> {
    let first = tokio::time::timeout(HELLO, ear.0.next()).await.map_err(|_| End::NoHello)?;
    let Some(Ok(Message::Binary(bytes))) = first else { return Err(End::NoHello) };
    let Ok(Frame::Hello { window, connector, tap: false }) = Frame::decode(bytes) else {
        return Err(End::NoHello);
    };
    let limits = &channel.limits;
    let wish = Wish {
        connection: name.to_owned(),
        connector: connector.to_string(),
        window,
        carries: None,
        lively: true,
    };
    let begun = Session::begin(wish, channel, shared, out).await;
    let welcome = Frame::Welcome {
        session: name.into(),
        heartbeat: limits.heartbeat(),
        ack_deadline: limits.ack_timeout(),
        largest: u32::try_from(LARGEST_FRAME).unwrap_or(u32::MAX),
    };
    let written = tokio::time::timeout(HELLO, sink.send(Message::Binary(welcome.encode()))).await;
    written.map_err(|_| End::Silent)?.map_err(|error| End::Broken(Box::new(error)))?;
    begun
}

/// Writes until nobody has anything more to say, then closes.
async fn write(mut sink: WebSocketSender<Transport>, mut says: mpsc::Receiver<Say>) {
    while let Some(say) = says.recv().await {
        let frame = match say {
            Say::Deliver(webhooks) => {
                let deliveries = webhooks.into_iter().map(|(seq, webhook)| Delivery { seq, webhook });
                Frame::Deliver(deliveries.collect())
            }
            Say::Ping(n) => Frame::Ping(n),
            Say::Pong(n) => Frame::Pong(n),
            Say::Bye(why) => Frame::Bye(why.as_str().into()),
        };
        if sink.send(Message::Binary(frame.encode())).await.is_err() {
            // The reading end sees the same and ends the session.
            return;
        }
    }
    // A connection that is broken is closed already.
    drop(sink.close(None).await);
}

struct NativeEar(WebSocketReceiver<Transport>);

impl Ear for NativeEar {
    const SETTLES: bool = true;

    async fn hear(&mut self) -> Result<Vec<Said>, End> {
        let message = self.0.next().await.ok_or(End::Closed)?;
        let said = match message.map_err(|error| End::Broken(Box::new(error)))? {
            Message::Binary(bytes) => match Frame::decode(bytes) {
                Ok(frame) => return Ok(understand(frame)),
                Err(malformed) => Said::Nonsense(malformed.to_string()),
            },
            Message::Close(_) => return Err(End::Closed),
            Message::Text(_) => Said::Nonsense("a text message".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Said::Life,
        };
        Ok(vec![said])
    }
}

fn understand(frame: Frame) -> Vec<Said> {
    let one = match frame {
        Frame::Settle(settle) => return settlements(settle),
        Frame::Progress(ranges) => {
            let ranges = ranges.into_iter().map(|range| Said::Progress(Which::Seqs(range)));
            return ranges.chain([Said::Life]).collect();
        }
        Frame::Window(window) => Said::Window(window),
        Frame::Ping(n) => Said::Ping(n),
        Frame::Pong(_) => Said::Life,
        Frame::Bye(why) => Said::Bye(why),
        Frame::Hello { .. } | Frame::Welcome { .. } | Frame::Deliver(_) | Frame::Gap { .. } => {
            Said::Nonsense("a frame that connectors do not send here".to_owned())
        }
    };
    vec![one]
}

fn settlements(settle: Settle) -> Vec<Said> {
    let Settle { delivered, returned, rejected, earlier } = settle;
    let delivered = delivered.into_iter().map(|range| Said::Settle(Which::Seqs(range), Outcome::Delivered));
    let returned = returned.into_iter().map(|returned| {
        let reason = Some(returned.reason).filter(|reason| !reason.as_str().is_empty());
        let outcome = Outcome::Abandoned { delay: returned.delay, cause: returned.cause, reason };
        Said::Settle(Which::Seqs(returned.seq..=returned.seq), outcome)
    });
    let rejected = rejected
        .into_iter()
        .map(|(seq, reason)| Said::Settle(Which::Seqs(seq..=seq), Outcome::Failed { reason }));
    let earlier = earlier.into_iter().map(|(id, outcome)| Said::Settle(Which::Message(id), outcome));
    delivered.chain(returned).chain(rejected).chain(earlier).chain([Said::Life]).collect()
}
