//! What a case posted, so that it takes its own webhooks from a channel that others post to as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::webhook::Webhook;

/// The header that marks the webhooks of a run and a case.
pub const MARK: &str = "x-conformance-case";

/// Ids that are named when a case fails, at most.
const NAMED: usize = 8;

/// What one case posted. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Posted(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What the marks of the whole run begin with; empty on a channel that nobody else posts to.
    run: String,
    mark: String,
    /// What names of pollers begin with. The receiver remembers them, so cases that follow each other share them.
    pollers: String,
    next: AtomicUsize,
    accepted: Mutex<Vec<(String, String)>>,
}

/// Whose a webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This case's.
    Own,
    /// An earlier case's of the same run, which failed before it had settled it.
    Earlier,
    /// Somebody else's.
    Stranger,
}

impl Posted {
    /// Makes the record of one case on a shared channel. `run` is unique to the run, `case` within it; cases that are under
    /// way at the same time are of different `lane`s.
    #[must_use]
    pub fn marked(run: &str, lane: &str, case: &str) -> Self {
        Self(Arc::new(Inner {
            run: format!("{run}."),
            mark: format!("{run}.{case}"),
            pollers: format!("{run}.{lane}"),
            next: AtomicUsize::new(0),
            accepted: Mutex::default(),
        }))
    }

    /// Returns the name of this case's next connection that polls.
    pub(crate) fn poller(&self) -> String {
        format!("{}-{}", self.0.pollers, self.0.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the value of [`MARK`]; none on a channel that nobody else posts to.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        (!self.0.run.is_empty()).then_some(&self.0.mark)
    }

    /// Notes that the webhook named `name` was accepted under `id`.
    pub fn accepted(&self, name: &str, id: &str) {
        self.lock().push((name.to_owned(), id.to_owned()));
    }

    /// Returns the ids that webhooks were accepted under, in the order of acceptance.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.lock().iter().map(|(_, id)| id.clone()).collect()
    }

    /// Says under which ids the webhooks of the case were accepted; nothing when none was.
    #[must_use]
    pub fn evidence(&self) -> Option<String> {
        let accepted = self.lock();
        let named: Vec<_> =
            accepted.iter().take(NAMED).map(|(name, id)| format!("{id} (`{name}`)")).collect();
        let more = accepted.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| format!("webhooks of this case: {}{more}", named.join(", ")))
    }

    /// Returns whose `webhook` is.
    #[must_use]
    pub fn whose(&self, webhook: &Webhook) -> Whose {
        let mark = webhook.head.headers.get(MARK).unwrap_or_default();
        let id = webhook.id().to_string();
        if mark == self.0.mark.as_bytes() || self.lock().iter().any(|(_, own)| *own == id) {
            Whose::Own
        } else if mark.starts_with(self.0.run.as_bytes()) {
            Whose::Earlier
        } else {
            Whose::Stranger
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.0.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
