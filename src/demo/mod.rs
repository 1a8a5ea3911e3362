//! `webhook-connect demo`: shows webhooks arrive, then proves that none is lost.

mod posts;
mod screen;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use conformance::case::Failed;
use conformance::party::wait::until;

use crate::cli;
use crate::failure::Failure;
use posts::{EVENTS, Posts};
use screen::Screen;
use world::World;

/// Webhooks posted while the connector is away.
const AWAY: usize = 1_000;

/// How many of them are accepted before the receiver is killed, and delivered before the connector is.
const KILLED_AT: usize = 400;

/// How long a webhook may take to arrive.
const SOON: Duration = Duration::from_secs(5);

/// How long all that waited may take to arrive.
const ALL: Duration = Duration::from_secs(20);

/// Runs the demonstration.
///
/// # Errors
/// Something could not be started, or a webhook that was accepted did not arrive.
pub(crate) async fn run(options: cli::Demo) -> Result<(), Failure> {
    show(options).await.map_err(|Failed(why)| Failure::other(why))
}

async fn show(options: cli::Demo) -> Result<(), Failed> {
    let mut world = World::start().await?;
    println!("receiver   {}  (durable buffer in {})", world.url(), world.data().display());
    println!("connector  delivers to {}", world.destination().url());
    println!();
    show_each_arrive(&world).await?;
    prove_nothing_is_lost(&mut world).await?;
    if options.keep {
        keep(&mut world).await?;
    }
    world.stop().await
}

/// Posts one webhook of each kind and shows it arrive.
async fn show_each_arrive(world: &World) -> Result<(), Failed> {
    println!("{:<37}{:<15}{:>12}{:>14}", "id", "event", "answered 200", "delivered");
    for event in EVENTS {
        let began = Instant::now();
        let (delivery, id) = posts::post(world.address(), event).await?;
        let answered = began.elapsed();
        let arrival = until("the webhook arrives", SOON, || {
            let there = world.arrival(&delivery);
            async move { Ok(there) }
        })
        .await?;
        let ms = |elapsed: Duration| elapsed.as_secs_f64() * 1_000.0;
        println!("{id:<37}{event:<15}{:>9.1} ms{:>11.1} ms", ms(answered), ms(arrival.duration_since(began)));
    }
    println!();
    Ok(())
}

/// Takes the connector away, kills the receiver while it is posted to, then the connector while it delivers, and counts what
/// arrives in the end.
async fn prove_nothing_is_lost(world: &mut World) -> Result<(), Failed> {
    println!(
        "Stopping the connector and posting {AWAY} more; killing the receiver, then the connector, with SIGKILL."
    );
    world.kill_connector().await?;
    let posts = Posts::start(world.address(), AWAY);
    let screen = Screen::new("accepted", AWAY);
    let mut killed = false;
    while posts.accepted() < AWAY {
        screen.show(posts.accepted());
        if !killed && posts.accepted() >= KILLED_AT {
            killed = true;
            world.kill_receiver().await?;
            screen.say("receiver killed with SIGKILL; starting it again");
            world.restart_receiver().await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    screen.done();
    let accepted = posts.end().await;
    let arrived = deliver_all(world, &accepted).await;
    audit(world, &accepted);
    arrived
}

/// Brings the connector back, kills it while it delivers, and waits until everything has arrived.
async fn deliver_all(world: &mut World, accepted: &BTreeSet<String>) -> Result<(), Failed> {
    world.start_connector()?;
    let screen = Screen::new("delivered", AWAY);
    let (began, mut killed) = (Instant::now(), false);
    loop {
        let arrived = accepted.iter().filter(|delivery| world.has_arrived(delivery)).count();
        screen.show(arrived);
        if arrived == AWAY {
            break;
        }
        if !killed && arrived >= KILLED_AT {
            killed = true;
            world.kill_connector().await?;
            screen.say("connector killed with SIGKILL; starting it again");
            world.start_connector()?;
        }
        if began.elapsed() > ALL {
            screen.done();
            return Err(Failed(format!("{} did not arrive within {ALL:?}", AWAY - arrived)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    screen.done();
    Ok(())
}

/// Prints the balance of what was accepted and what arrived.
fn audit(world: &World, accepted: &BTreeSet<String>) {
    let delivered = accepted.iter().filter(|delivery| world.has_arrived(delivery)).count();
    let (accepted, arrived) = (accepted.len() + EVENTS.len(), world.arrivals());
    let delivered = delivered + EVENTS.len();
    println!();
    println!("accepted {accepted} = delivered {delivered}, {} lost", accepted - delivered);
    let more = arrived.saturating_sub(delivered);
    if more > 0 {
        println!(
            "({more} more arrived: stored when the receiver was killed, before they could be answered, or delivered twice)"
        );
    }
}

/// Stays up until it is told to stop.
async fn keep(world: &mut World) -> Result<(), Failed> {
    println!();
    println!("Still running. Try it, and end it with Ctrl-C:");
    println!("  {}", posts::curl(&world.url()));
    world.show_arrivals_until_interrupted().await
}
