//! What the running pipelines offer to the listener, by name.
//!
//! A stage announces its name when it is opened and offers what it has while it runs. Between the two, and while its
//! pipeline is being opened again or replaced, the name is known and there is nothing behind it: senders and connectors are
//! asked to come again, and not told that there is no such thing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use engine::config::Secret;
use engine::kind::Resources;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::accepts::Accepts;
use crate::channel::Channel;
use crate::receive::Route;

/// Things by name, with what is known of each before it is there.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    places: RwLock<BTreeMap<String, Place<K, T>>>,
    changed: Notify,
}

#[derive(Debug)]
struct Place<K, T> {
    /// What was announced and is wanted still, the newest last: while one pipeline replaces another, both did.
    known: Vec<Arc<K>>,
    running: Option<Arc<T>>,
}

/// The webhooks that are taken, by id; each with what it takes.
pub(crate) type Routes = Table<Arc<Accepts>, Route>;

/// The channels that connectors may subscribe to, by name; each with its token.
pub(crate) type Channels = Table<Secret, Channel>;

/// What stands at a name.
pub(crate) enum Found<K, T> {
    /// A stage that runs.
    Running(Arc<T>),
    /// A stage that does not run at the moment.
    Away(K),
    /// Nothing.
    Nothing,
}

impl<K, T> Default for Place<K, T> {
    fn default() -> Self {
        Self { known: Vec::new(), running: None }
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { places: RwLock::default(), changed: Notify::new() }
    }
}

impl<K: Clone + Send + Sync + 'static, T: Send + Sync + 'static> Table<K, T> {
    /// Returns the table that all stages and the listener of one process share.
    pub(crate) fn of(resources: &Resources) -> Arc<Self> {
        let made: Result<_, std::convert::Infallible> = resources.get_or_make("", || Ok(Self::default()));
        match made {
            Ok(table) => table,
            Err(never) => match never {},
        }
    }

    /// Returns what stands at `name`.
    pub(crate) fn find(&self, name: &str) -> Found<K, T> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        match places.get(name) {
            Some(Place { running: Some(running), .. }) => Found::Running(Arc::clone(running)),
            Some(Place { known, running: None }) => {
                known.last().map_or(Found::Nothing, |known| Found::Away(K::clone(known)))
            }
            None => Found::Nothing,
        }
    }

    /// Returns what stands at `name`; what does not run at the moment is waited for, at most `patience`. Cancelling loses
    /// nothing.
    pub(crate) async fn find_soon(&self, name: &str, patience: Duration) -> Found<K, T> {
        let until = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            match self.find(name) {
                away @ Found::Away(_) if tokio::time::timeout_at(until, changed).await.is_err() => {
                    return away;
                }
                Found::Away(_) => {}
                found => return found,
            }
        }
    }

    /// Returns everything that runs.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.values().filter_map(|place| place.running.clone()).collect()
    }

    /// Returns what is known of everything that does not run at the moment.
    pub(crate) fn away(&self) -> Vec<K> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let away = places.values().filter(|place| place.running.is_none());
        away.filter_map(|place| place.known.last().map(|known| K::clone(known))).collect()
    }

    /// Makes `name` known for as long as what is returned lives.
    pub(crate) fn announce(self: &Arc<Self>, name: &str, known: K) -> Announced<K, T> {
        let known = Arc::new(known);
        self.write().entry(name.to_owned()).or_default().known.push(Arc::clone(&known));
        Announced { table: Arc::clone(self), name: name.to_owned(), known }
    }

    /// Puts `value` at a name that was announced, until the guard drops.
    pub(crate) fn enter(self: &Arc<Self>, name: &str, value: T) -> Entered<K, T> {
        let value = Arc::new(value);
        if let Some(place) = self.write().get_mut(name) {
            place.running = Some(Arc::clone(&value));
        }
        self.changed.notify_waiters();
        Entered { table: Arc::clone(self), name: name.to_owned(), value }
    }

    /// Waits until everything that was announced runs. Cancelling loses nothing.
    pub(crate) async fn all_run(&self) {
        loop {
            let changed = self.changed.notified();
            if self.runs_whole() {
                return;
            }
            changed.await;
        }
    }

    /// Returns true when everything that was announced runs.
    pub(crate) fn runs_whole(&self) -> bool {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.values().all(|place| place.running.is_some())
    }
}

impl<K, T> Table<K, T> {
    /// Lets go of something at `name`, and of the name when nothing is left.
    fn leave(&self, name: &str, which: impl FnOnce(&mut Place<K, T>)) {
        let mut places = self.write();
        if let Some(place) = places.get_mut(name) {
            which(place);
            if place.known.is_empty() && place.running.is_none() {
                places.remove(name);
            }
        }
        drop(places);
        self.changed.notify_waiters();
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Place<K, T>>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a name known while it lives.
pub(crate) struct Announced<K, T> {
    table: Arc<Table<K, T>>,
    name: String,
    known: Arc<K>,
}

impl<K, T> Drop for Announced<K, T> {
    fn drop(&mut self) {
        self.table.leave(&self.name, |place| place.known.retain(|known| !Arc::ptr_eq(known, &self.known)));
    }
}

/// Takes a value out of its table when it drops, unless another has taken its place; its name stays known.
pub(crate) struct Entered<K, T> {
    table: Arc<Table<K, T>>,
    name: String,
    value: Arc<T>,
}

impl<K, T> Entered<K, T> {
    /// Returns the value.
    pub(crate) fn value(&self) -> &Arc<T> {
        &self.value
    }
}

impl<K, T> Drop for Entered<K, T> {
    fn drop(&mut self) {
        self.table.leave(&self.name, |place| {
            place.running = place.running.take().filter(|running| !Arc::ptr_eq(running, &self.value));
        });
    }
}
