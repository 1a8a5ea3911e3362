//! What the running pipelines offer to the listener, by name.
//!
//! A stage announces its name when it is opened and offers what it has while it runs. Between the two, and while its
//! pipeline is being opened again, the name is known and there is nothing behind it: senders and connectors are asked to
//! come again, and not told that there is no such thing.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use engine::config::Secret;
use engine::kind::Resources;
use tokio::sync::Notify;

use crate::channel::Channel;
use crate::receive::Route;

/// Things by name, with what is known of each before it is there.
#[derive(Debug)]
pub(crate) struct Table<K, T> {
    places: RwLock<HashMap<String, Place<K, T>>>,
    entered: Notify,
}

#[derive(Debug)]
struct Place<K, T> {
    known: K,
    running: Option<Arc<T>>,
}

/// The webhooks that are taken, by id.
pub(crate) type Routes = Table<(), Route>;

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

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { places: RwLock::default(), entered: Notify::new() }
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
            Some(Place { known, running: None }) => Found::Away(known.clone()),
            None => Found::Nothing,
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
        places.values().filter(|place| place.running.is_none()).map(|place| place.known.clone()).collect()
    }

    /// Makes `name` known.
    pub(crate) fn announce(&self, name: &str, known: K) {
        let mut places = self.write();
        let running = places.remove(name).and_then(|place| place.running);
        places.insert(name.to_owned(), Place { known, running });
    }

    /// Puts `value` at a name that was announced, until the guard drops.
    pub(crate) fn enter(self: &Arc<Self>, name: &str, value: T) -> Entered<K, T> {
        let value = Arc::new(value);
        if let Some(place) = self.write().get_mut(name) {
            place.running = Some(Arc::clone(&value));
        }
        self.entered.notify_waiters();
        Entered { table: Arc::clone(self), name: name.to_owned(), value }
    }

    /// Waits until everything that was announced runs. Cancelling loses nothing.
    pub(crate) async fn all_run(&self) {
        loop {
            let entered = self.entered.notified();
            if self.runs_whole() {
                return;
            }
            entered.await;
        }
    }

    fn runs_whole(&self) -> bool {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.values().all(|place| place.running.is_some())
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Place<K, T>>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
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
        let mut places = self.table.places.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(&self.name)
            && place.running.as_ref().is_some_and(|running| Arc::ptr_eq(running, &self.value))
        {
            place.running = None;
        }
    }
}
