//! The primitives that `ack` and `ledger` share state with, so that loom can stand in for the standard ones.

#[cfg(not(webhook_connect_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(webhook_connect_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

/// Locks `mutex`. A panic while it was held leaves plain data behind, so the lock is taken over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
