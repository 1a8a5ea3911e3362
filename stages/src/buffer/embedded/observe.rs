//! A folder that is only looked at.

use std::io;

use super::disk::{Disk, Folder, Tail};
use super::sidecar;

/// Reads a folder and writes nothing. It has no sidecars and no quarantine, so that every entry is read and all damage is
/// found anew.
pub(super) struct Observed(pub(super) Folder);

impl Disk for Observed {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn create(&self, _name: &str) -> io::Result<Box<dyn Tail>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if name.starts_with("quarantine/") || name.ends_with(sidecar::EXTENSION) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.read_at(name, offset, len)
    }

    fn sync(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _name: &str, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&self, _name: &str, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
