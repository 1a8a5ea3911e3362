//! Where chance comes from: the operating system, or a seed that makes a run repeatable.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock;
use crate::kind::Resources;
use crate::webhook::Id;

/// Makes the generators of one process, and its ids.
#[derive(Debug, Default)]
pub struct Chance(Option<Seeded>);

/// Chance that is the same in every run.
#[derive(Debug)]
struct Seeded {
    seed: u64,
    ids: Mutex<StdRng>,
}

impl Chance {
    /// Makes chance that depends on `seed` alone. For simulations: its ids can be guessed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Seeded { seed, ids: Mutex::new(StdRng::seed_from_u64(seed)) }))
    }

    /// Returns what all stages of one process share: the operating system's chance, unless another was put there before.
    #[must_use]
    pub fn of(resources: &Resources) -> Arc<Self> {
        match resources.get_or_make("", || Ok::<_, Infallible>(Self::default())) {
            Ok(chance) => chance,
            Err(never) => match never {},
        }
    }

    /// Makes the generator of `name`, which draws the same whoever else draws.
    #[must_use]
    pub fn generator(&self, name: &str) -> StdRng {
        match &self.0 {
            None => StdRng::from_os_rng(),
            Some(Seeded { seed, .. }) => {
                StdRng::seed_from_u64(seed.rotate_left(32) ^ u64::from(crc32c::crc32c(name.as_bytes())))
            }
        }
    }

    /// Makes a new id.
    #[must_use]
    pub fn id(&self) -> Id {
        match &self.0 {
            None => Id::new(),
            Some(Seeded { ids, .. }) => {
                Id::of(clock::now(), &ids.lock().unwrap_or_else(PoisonError::into_inner).random())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_every_generator_repeatable_and_each_name_its_own() {
        let draw = |seed, name: &str| Chance::seeded(seed).generator(name).random::<u64>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn without_a_seed_nothing_repeats() {
        let (one, other) = (Chance::default(), Chance::default());
        assert_ne!(one.id(), other.id());
        assert_ne!(one.generator("a").random::<u64>(), other.generator("a").random::<u64>());
    }
}
