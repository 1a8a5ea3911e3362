//! What a buffer answers to those who hold its supply.

use std::sync::Arc;
use std::time::SystemTime;

use engine::ack::Outcome;
use engine::store::Store;
use engine::supply::{Figures, Request};
use engine::webhook::Id;
use tracing::{debug, info};

use super::driver::Driver;
use super::tracked::Place;

impl<S: Store> Driver<S> {
    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Attach { session, window, events, carries } => {
                info!(channel = %self.channel, session, "a session began");
                self.sessions.attach(session, window, events, carries);
                self.tracked.reconsider();
            }
            Request::Settle { id, outcome, known } => {
                if known.send(self.settle_by_id(id, outcome)).is_err() {
                    debug!(%id, "who settled the webhook has gone away");
                }
            }
            Request::Tap(feed) => self.intake.taps.add(feed),
            Request::Figures(answer) => {
                let figures = self.figures();
                self.audit(figures.stats);
                if answer.send(figures).is_err() {
                    debug!(channel = %self.channel, "who asked for the figures has gone away");
                }
            }
            Request::Parked { after, max, found } => {
                let store = Arc::clone(&self.store);
                tokio::spawn(async move { drop(found.send(store.parked(after, max).await)) });
            }
        }
    }

    fn settle_by_id(&mut self, id: Id, outcome: Outcome) -> bool {
        let Some(sequence) = self.tracked.find(id) else {
            if outcome == Outcome::Delivered {
                self.early.note(id);
            }
            return false;
        };
        let flying = self.tracked.place(sequence) == Some(Place::Flying);
        let parked = self.tracked.place(sequence) == Some(Place::Parked);
        match outcome {
            // Somebody else holds it now, or it was given up: only the fact of delivery counts.
            Outcome::Abandoned { .. } if flying || parked => {}
            outcome => self.conclude(sequence, outcome),
        }
        true
    }

    fn oldest(&self) -> Option<SystemTime> {
        let fresh = self.fresh.front().map(|stored| stored.webhook.head.received);
        fresh.into_iter().chain(self.tracked.oldest_received()).min()
    }

    fn figures(&self) -> Figures {
        Figures {
            stats: self.store.stats(),
            in_flight: self.tracked.flying(),
            sessions: self.sessions.len() as u64,
            oldest: self.oldest(),
            failing: self.is_failing(),
        }
    }
}
