//! How stages are joined: bounded channels with typed ends.
//!
//! Three flows exist. [`Unverified`] webhooks come from a sender nobody has vouched for; gates turn them into
//! [`Verified`] ones; [`Exhausted`] ones were given up by a retry. The types hold invariant I4: only webhooks that
//! passed a gate which proves the sender, or the gate named `open`, reach a buffer or a destination.
//!
//! Gates are fused into the sending end: [`Out::send`] runs them on the caller's task, so authentication happens on the
//! connection that brought the webhook, in parallel, without a hop.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::ack::{Answer, Outcome};
use crate::kind::DynGate;
use crate::meter::Edge;
use crate::webhook::{Event, Webhook};

/// The default bound of a channel between two stages, in events.
pub const CAPACITY: usize = 256;

/// Webhooks whose sender nobody has vouched for.
#[derive(Debug)]
pub enum Unverified {}

/// Webhooks that passed a gate which proves the sender, or the gate named `open`.
#[derive(Debug)]
pub enum Verified {}

/// Webhooks that a retry has given up.
#[derive(Debug)]
pub enum Exhausted {}

/// The sending end of an edge, with the gates that stand before the next stage.
pub struct Out<F> {
    gates: Arc<[Arc<dyn DynGate>]>,
    next: mpsc::Sender<Event>,
    meter: Edge,
    flow: PhantomData<fn(F)>,
}

/// The receiving end of an edge.
pub struct In<F> {
    events: mpsc::Receiver<Event>,
    flow: PhantomData<fn() -> F>,
}

/// The next stage has ended; the webhook was reported as abandoned.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the next stage has ended")]
pub struct Closed;

/// Joins two stages of the same flow.
#[must_use]
pub fn edge<F>(capacity: usize, meter: Edge) -> (Out<F>, In<F>) {
    let (next, events) = mpsc::channel(capacity);
    (Out { gates: Arc::new([]), next, meter, flow: PhantomData }, In { events, flow: PhantomData })
}

/// Joins a source to a buffer through gates, of which at least one proves the sender (see `graph::check`).
#[must_use]
pub fn gated(next: &Out<Verified>, gates: Arc<[Arc<dyn DynGate>]>) -> Out<Unverified> {
    for gate in gates.iter() {
        gate.measure(&next.meter);
    }
    Out { gates, next: next.next.clone(), meter: next.meter.clone(), flow: PhantomData }
}

/// Joins what a flow stage gives up to a destination.
#[must_use]
pub fn exhausted(next: &Out<Verified>) -> Out<Exhausted> {
    Out { gates: Arc::new([]), next: next.next.clone(), meter: next.meter.clone(), flow: PhantomData }
}

impl<F> Out<F> {
    /// Runs the gates and hands the event on, waiting while the next stage is full.
    ///
    /// A webhook that a gate turns away, and a handshake, are settled as refused, which counts as handed on. Cancelling
    /// drops the event, which abandons it.
    ///
    /// # Errors
    /// The next stage has ended; the event is then abandoned.
    pub async fn send(&self, mut event: Event) -> Result<(), Closed> {
        if let Err(answer) = self.ask(&event.webhook).await {
            event.ack.settle(Outcome::Refused { answer });
            return Ok(());
        }
        for gate in self.gates.iter() {
            gate.rewrite(&mut event.webhook);
        }
        let event = match self.next.try_send(event) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(event)) => event,
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Closed),
        };
        // Only a full channel is timed: waiting costs nothing to measure when there is none.
        let blocked = self.meter.blocked();
        let sent = self.next.send(event).await.map_err(|_| Closed);
        drop(blocked);
        sent
    }

    async fn ask(&self, webhook: &Webhook) -> Result<(), Answer> {
        for gate in self.gates.iter() {
            if let Err(answer) = gate.admit(webhook).await {
                if answer.handshake.is_none() {
                    self.meter.refused(gate.name());
                }
                return Err(answer);
            }
        }
        Ok(())
    }
}

impl Out<Unverified> {
    /// Returns true when one of the gates may answer a handshake with this method.
    #[must_use]
    pub fn greets(&self, method: &str) -> bool {
        self.gates.iter().any(|gate| gate.greets(method))
    }

    /// Answers what can only be a handshake: nothing is handed on, whatever the gates say.
    pub async fn greet(&self, webhook: &Webhook) -> Answer {
        match self.ask(webhook).await {
            Err(answer) => answer,
            Ok(()) => Answer::new(405, "webhooks are posted"),
        }
    }
}

impl<F> Clone for Out<F> {
    fn clone(&self) -> Self {
        let (gates, next) = (Arc::clone(&self.gates), self.next.clone());
        Self { gates, next, meter: self.meter.clone(), flow: PhantomData }
    }
}

impl<F> In<F> {
    /// Waits for the next event; none when every sender is gone. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits for at least one event and takes up to `max`; 0 when every sender is gone. Cancelling loses nothing.
    pub async fn recv_many(&mut self, into: &mut Vec<Event>, max: usize) -> usize {
        self.events.recv_many(into, max).await
    }

    /// Refuses further events; those already here can still be received.
    pub fn close(&mut self) {
        self.events.close();
    }
}

impl<F> std::fmt::Debug for Out<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").field("gates", &self.gates.len()).finish_non_exhaustive()
    }
}

impl<F> std::fmt::Debug for In<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("In").finish_non_exhaustive()
    }
}
