//! The simulated network: who can reach whom, and what becomes of connections.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use cloud::{Accepted, Acceptor};
use connector::{Dial, Stream};
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::wire::{End, Wire};

/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Sender,
    Operator,
    Connector(usize),
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Both ends see it at once.
    Both,
    /// Only the end that dialled sees it, as when a router on the way forgets.
    DiallerOnly,
    /// Only the receiver sees it.
    ReceiverOnly,
}

/// The network. Every connection leads to the receiver.
#[derive(Debug)]
pub(crate) struct Network(Mutex<State>);

#[derive(Debug)]
struct State {
    seed: u64,
    dialled: u64,
    listener: Option<mpsc::Sender<Accepted<End>>>,
    wires: Vec<(Party, Weak<Wire>)>,
    refused: BTreeSet<Party>,
}

/// Where the receiver listens.
pub(crate) struct Listener(tokio::sync::Mutex<mpsc::Receiver<Accepted<End>>>);

/// One party's access to the network.
pub(crate) struct Access(pub(crate) Arc<Network>, pub(crate) Party);

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        let (wires, refused) = (Vec::new(), BTreeSet::new());
        Self(Mutex::new(State { seed, dialled: 0, listener: None, wires, refused }))
    }

    /// Listens; who listened before does not any more.
    pub(crate) fn listen(&self) -> Listener {
        let (sender, accepted) = mpsc::channel(BACKLOG);
        self.lock().listener = Some(sender);
        Listener(tokio::sync::Mutex::new(accepted))
    }

    /// Connects `party` to the receiver.
    pub(crate) async fn dial(&self, party: Party) -> io::Result<End> {
        let (number, mut random) = {
            let mut state = self.lock();
            state.dialled += 1;
            let seed = state.seed ^ state.dialled.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (state.dialled, StdRng::seed_from_u64(seed))
        };
        let latency = Duration::from_micros(random.random_range(100..15_000));
        tokio::time::sleep(2 * latency).await;
        let mut state = self.lock();
        let refused = || io::Error::from(ErrorKind::ConnectionRefused);
        if state.refused.contains(&party) {
            return Err(refused());
        }
        let listener = state.listener.clone().ok_or_else(refused)?;
        let (wire, near, far) = Wire::new(latency, random);
        let port = u16::try_from(1_024 + number % 60_000).unwrap_or(1_024);
        let peer = SocketAddr::from(([10, 0, 0, 1], port));
        let accepted = Accepted { stream: far, peer, hold: wire.hold() };
        listener.try_send(accepted).map_err(|_| refused())?;
        state.wires.retain(|(_, wire)| wire.strong_count() > 0);
        state.wires.push((party, Arc::downgrade(&wire)));
        Ok(near)
    }

    /// Lets `party` connect, or not.
    pub(crate) fn refuse(&self, party: Party, refused: bool) {
        let mut state = self.lock();
        if refused {
            state.refused.insert(party);
        } else {
            state.refused.remove(&party);
        }
    }

    /// Nobody listens any more, and every connection to who did ends: at once, or in silence when the power went.
    pub(crate) fn crash_receiver(&self, silent: bool) {
        self.lock().listener = None;
        let how = if silent { Cut::ReceiverOnly } else { Cut::Both };
        self.cut(|_| true, how);
    }

    /// Cuts the connections of the parties that `which` names, and returns how many there were.
    pub(crate) fn cut(&self, which: impl Fn(Party) -> bool, how: Cut) -> usize {
        let sides: &[usize] = match how {
            Cut::Both => &[0, 1],
            Cut::DiallerOnly => &[0],
            Cut::ReceiverOnly => &[1],
        };
        let wires = self.wires(which);
        wires.iter().for_each(|wire| wire.cut(sides));
        wires.len()
    }

    /// Lets nothing arrive on the connections of the parties that `which` names before `until`.
    pub(crate) fn stand_still(&self, which: impl Fn(Party) -> bool, until: Instant) {
        self.wires(which).iter().for_each(|wire| wire.stand_still(until));
    }

    /// Ends everything that is wrong with the network.
    pub(crate) fn heal(&self) {
        self.lock().refused.clear();
        self.stand_still(|_| true, Instant::now());
    }

    fn wires(&self, which: impl Fn(Party) -> bool) -> Vec<Arc<Wire>> {
        let state = self.lock();
        let wires = state.wires.iter().filter(|(party, _)| which(*party));
        wires.filter_map(|(_, wire)| wire.upgrade()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Acceptor for Listener {
    type Stream = End;

    async fn accept(&self) -> io::Result<Accepted<End>> {
        match self.0.lock().await.recv().await {
            Some(accepted) => Ok(accepted),
            None => std::future::pending().await,
        }
    }
}

impl Dial for Access {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        async move { Ok(Box::new(self.0.dial(self.1).await?) as Box<dyn Stream>) }.boxed()
    }
}
