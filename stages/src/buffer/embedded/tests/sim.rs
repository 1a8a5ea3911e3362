//! A disk in memory that can crash at any operation, tear what was not synced, fill up and refuse.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::disk::{Disk, Tail};

/// A handle on the disk; clones share it.
#[derive(Clone, Default)]
pub(super) struct Sim(Arc<Mutex<World>>);

#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) files: BTreeMap<String, File>,
    /// Operations until the machine stops; what it was doing is half done.
    pub(super) fuse: Option<u64>,
    crashed: bool,
    /// Bytes that fit.
    pub(super) capacity: Option<usize>,
    pub(super) syncs_fail: bool,
    pub(super) truncates_fail: bool,
}

#[derive(Clone, Default, Debug)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    durable: usize,
}

impl Sim {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A copy that goes its own way.
    pub(super) fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    /// Starts again. After a crash of the process everything written is there, durable or not; after one of the machine
    /// some of what was not synced is there, and some of that is zeros.
    pub(super) fn restart(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = self.world();
        let World { fuse, crashed, .. } = &mut *world;
        (*fuse, *crashed) = (None, false);
        if random.random_bool(0.4) {
            return;
        }
        for file in world.files.values_mut() {
            let kept = random.random_range(file.durable..=file.bytes.len());
            file.bytes.truncate(kept);
            if random.random_bool(0.3) && kept > file.durable {
                let from = random.random_range(file.durable..kept);
                let to = random.random_range(from..kept);
                file.bytes[from..to].fill(0);
            }
            file.durable = kept;
        }
    }

    pub(super) fn used(&self) -> usize {
        self.world().used()
    }
}

impl World {
    fn used(&self) -> usize {
        self.files.values().map(|file| file.bytes.len()).sum()
    }

    fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |all| all.saturating_sub(self.used()))
    }

    /// Counts an operation. Returns false in the one that the crash cuts in half.
    fn step(&mut self) -> io::Result<bool> {
        if self.crashed {
            return Err(io::Error::other("crashed"));
        }
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.crashed = true;
                return Ok(false);
            }
            *left -= 1;
        }
        Ok(true)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let whole = self.step()?;
        let most = if whole { bytes.len() } else { bytes.len() / 2 };
        let fits = most.min(self.room());
        self.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?.bytes.extend_from_slice(&bytes[..fits]);
        match (whole, fits == bytes.len()) {
            (true, true) => Ok(()),
            (true, false) => Err(io::ErrorKind::StorageFull.into()),
            (false, _) => Err(io::Error::other("crashed")),
        }
    }
}

impl Disk for Sim {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let world = self.world();
        let plain = world.files.iter().filter(|(name, _)| !name.contains('/'));
        Ok(plain.map(|(name, file)| (name.clone(), file.bytes.len() as u64)).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Tail>> {
        let mut world = self.world();
        if !world.step()? {
            return Err(io::Error::other("crashed"));
        }
        assert!(world.files.insert(name.to_owned(), File::default()).is_none(), "{name} was there");
        Ok(Box::new(SimTail { disk: self.clone(), name: name.to_owned() }))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let world = self.world();
        let bytes = &world.files.get(name).ok_or(io::ErrorKind::NotFound)?.bytes;
        let from = bytes.len().min(usize::try_from(offset).unwrap());
        Ok(bytes[from..bytes.len().min(from.saturating_add(len))].to_vec())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        let file = world.files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        file.durable = file.bytes.len();
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world();
        world.files.insert(name.to_owned(), File::default());
        let written = world.append(name, bytes);
        if written.is_err() && !world.crashed {
            world.files.remove(name);
        }
        written
    }

    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()> {
        self.write(name, &vec![0; usize::try_from(bytes).unwrap()])
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.step()?;
        world.files.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }
}

struct SimTail {
    disk: Sim,
    name: String,
}

impl Tail for SimTail {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.world().append(&self.name, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.disk.world();
        if world.syncs_fail {
            return Err(io::Error::other("sync failed"));
        }
        let whole = world.step()?;
        if let Some(file) = world.files.get_mut(&self.name)
            && whole
        {
            file.durable = file.bytes.len();
        }
        if whole { Ok(()) } else { Err(io::Error::other("crashed")) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        if world.truncates_fail || !world.step()? {
            return Err(io::Error::other("cannot cut"));
        }
        let file = world.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        file.bytes.truncate(usize::try_from(len).unwrap());
        file.durable = file.durable.min(file.bytes.len());
        Ok(())
    }
}
