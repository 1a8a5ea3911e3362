//! Notices that files have changed, by what they hold: however they are replaced, renamed over or linked anew.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Looks at files now and then.
pub(crate) struct Watch {
    /// How long between two looks; never when zero.
    every: Duration,
    /// What each file held when it was last looked at for good; none when it was not there.
    known: BTreeMap<PathBuf, Option<u64>>,
}

impl Watch {
    /// Watches nothing yet. With zero for `every` it never will.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, known: BTreeMap::new() }
    }

    /// Watches `paths`, instead of those before. What they hold now is known.
    pub(crate) fn set(&mut self, paths: Vec<PathBuf>) {
        let known = std::mem::take(&mut self.known);
        let each = paths.into_iter().map(|path| {
            // One that was looked at before it was read may have changed since.
            let held = known.get(&path).copied().unwrap_or_else(|| held(&path));
            (path, held)
        });
        self.known = each.collect();
    }

    /// Looks at every file: what they hold now is known.
    pub(crate) fn look(&mut self) {
        for (path, known) in &mut self.known {
            *known = held(path);
        }
    }

    /// Waits until a file holds something else than known, and still the same at the next look, so that one that is being
    /// written is read whole. Returns its path. Cancelling loses nothing.
    pub(crate) async fn changed(&self) -> PathBuf {
        if self.every.is_zero() {
            return std::future::pending().await;
        }
        let mut looks = interval_at(Instant::now() + self.every, self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            looks.tick().await;
            let now: Vec<Option<u64>> = self.known.keys().map(|path| held(path)).collect();
            let different = self.known.iter().zip(&now).find(|((_, known), now)| known != now);
            if let Some(((path, _), _)) = different
                && before.as_ref() == Some(&now)
            {
                return path.clone();
            }
            before = Some(now);
        }
    }
}

/// Returns what stands for the content of a file; none when it cannot be read.
fn held(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}
