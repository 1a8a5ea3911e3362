//! What is printed: every round, and the spread of each figure.

use std::collections::BTreeMap;

use serde::Serialize;

/// The figures of one benchmark.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was measured.
    pub(crate) bench: &'static str,
    /// How, in a sentence.
    pub(crate) method: String,
    /// Cores of this machine.
    pub(crate) cores: usize,
    /// Each round's figures by name.
    pub(crate) rounds: Vec<BTreeMap<&'static str, f64>>,
    /// The spread of each figure over the rounds.
    pub(crate) spread: BTreeMap<&'static str, Spread>,
}

/// The spread of one figure.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(bench: &'static str, method: String, rounds: Vec<BTreeMap<&'static str, f64>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut figures: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (name, figure) in rounds.iter().flatten() {
            figures.entry(name).or_default().push(*figure);
        }
        let spread = figures.into_iter().filter_map(|(name, all)| Some((name, spread(all)?))).collect();
        Self { bench, method, cores, rounds, spread }
    }
}

fn spread(mut all: Vec<f64>) -> Option<Spread> {
    all.sort_by(f64::total_cmp);
    let (min, max) = (*all.first()?, *all.last()?);
    let middle = all.len() / 2;
    let median = if all.len() % 2 == 1 { all[middle] } else { f64::midpoint(all[middle - 1], all[middle]) };
    Some(Spread { min, median, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_all_rounds() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(spread(vec![4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(spread(vec![]), None);
    }
}
