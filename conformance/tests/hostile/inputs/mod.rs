//! The readers of strangers' bytes on the seeds of their fuzzers: each file here is what a target of `conformance/fuzz` runs.

mod configuration;
mod frames;
mod queries;
mod records;
mod said_by_connectors;
mod said_by_receivers;
mod segments;
mod signatures;

use std::path::Path;

use conformance::case::{Failed, ensure};

/// A target and what it runs.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 8] = [
    ("configuration", configuration::hold),
    ("frames", frames::hold),
    ("queries", queries::hold),
    ("records", records::hold),
    ("said_by_connectors", said_by_connectors::hold),
    ("said_by_receivers", said_by_receivers::hold),
    ("segments", segments::hold),
    ("signatures", signatures::hold),
];

/// Inputs that a seed is cut to and changed into: enough to be refused in another place than where it begins.
const CHANGES: usize = 64;

#[test]
fn what_reads_strangers_bytes_holds_on_every_seed_and_on_seeds_that_are_cut_and_changed() -> Result<(), Failed>
{
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    ensure(names == TARGETS.map(|(name, _)| name), || format!("the folders of seeds are {names:?}"))?;
    for (name, hold) in TARGETS {
        for seed in std::fs::read_dir(folder.join(name))? {
            let seed = std::fs::read(seed?.path())?;
            hold(&seed);
            for at in (0..seed.len()).step_by((seed.len() / CHANGES).max(1)) {
                hold(&seed[..at]);
                let mut changed = seed.clone();
                changed[at] ^= 0x20;
                hold(&changed);
            }
        }
    }
    Ok(())
}
