//! Hostile peers and bad input against the real binary: each gets a clear answer or an end, takes bounded memory, and
//! nothing is lost.
#![cfg(test)]

mod acknowledgements;
mod configuration;
mod connections;
mod frames;
mod inputs;
mod paths;
mod readers;
mod requests;
mod smuggling;
mod victim;

use conformance::case::{Failed, ensure_eq};
use conformance::party::receiver::{Receiver, Setup};
use conformance::stand::{Buffer, Stand, built_binary};

fn stand() -> Stand {
    Stand::new(built_binary().expect("the binary is built"), Buffer::Embedded).expect("a folder can be made")
}

async fn start(setup: Setup) -> (Stand, Receiver) {
    let stand = stand();
    let receiver = stand.receiver(setup).await.expect("the receiver starts");
    (stand, receiver)
}

/// A receiver that was mistreated still takes webhooks, and its audit balances.
async fn is_well(receiver: &Receiver, accepted: i64) -> Result<(), Failed> {
    receiver.accepted("well", "1").await?;
    let stats = receiver.stats().await?;
    stats.ensure_balance()?;
    ensure_eq("webhooks accepted", &stats.count("messages_accepted"), &(accepted + 1))
}
