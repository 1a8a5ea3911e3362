//! The `subscribe` source against a scripted receiver on a real socket.
#![cfg(test)]

mod admin;
mod connecting;
mod fallback;
mod logs;
mod party;
mod reconnecting;
mod reference;
mod requeueing;
mod settling;

use party::receiver::{Answers, Receiver};
use party::stage::Stage;

async fn start(more: serde_json::Value) -> (Receiver, Stage) {
    let receiver = Receiver::start(Answers::Upgrade).await;
    let stage = Stage::start(receiver.address, more).await;
    (receiver, stage)
}
