//! Tokens that were found good a moment ago, known by their hash.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Tokens that are remembered; the oldest give way.
const MOST: usize = 10_000;

/// The hash of a token.
pub(super) type Hash = [u8; 32];

/// Hashes a token, so that a dump of the memory holds none.
pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Cache {
    until: HashMap<Hash, Instant>,
    order: VecDeque<Hash>,
}

impl Cache {
    /// Tells whether the token is still good.
    pub(super) fn has(&self, hash: &Hash) -> bool {
        self.until.get(hash).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers a token.
    pub(super) fn keep(&mut self, hash: Hash, until: Instant) {
        if self.until.insert(hash, until).is_some() {
            return;
        }
        self.order.push_back(hash);
        while self.order.len() > MOST {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.until.remove(&oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_until_its_time_is_over_or_too_many_have_come_since() {
        let (mut cache, second) = (Cache::default(), Duration::from_secs(1));
        let id = |number: usize| hash(&number.to_string());
        cache.keep(id(0), Instant::now() + second);
        assert!(cache.has(&id(0)) && !cache.has(&id(1)));
        tokio::time::sleep(second).await;
        assert!(!cache.has(&id(0)));
        for number in 0..=MOST {
            cache.keep(id(number), Instant::now() + second);
        }
        assert!(!cache.has(&id(0)) && cache.has(&id(1)) && cache.has(&id(MOST)));
        assert_eq!((cache.until.len(), cache.order.len()), (MOST, MOST));
    }
}
