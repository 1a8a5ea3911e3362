//! What the log needs of a disk, as a seam: tests crash, tear and fill it here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rand::Rng;

/// Written at a time where much is.
const PIECE: usize = 64 << 10;

/// A folder of files. Names are plain; one of them may be below `quarantine/`.
pub(super) trait Disk: Send + Sync + 'static {
    /// Returns the names and lengths of the files in the folder.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes a new file to append to. The file, empty, is there after a crash.
    fn create(&self, name: &str) -> io::Result<Box<dyn Tail>>;

    /// Reads up to `len` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Makes all of a file durable that was written before, by whomever.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Writes a whole file that may be lost in a crash. A failure leaves none.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file that takes `bytes` bytes of room, also where the file system compresses; it is there after a crash. A
    /// failure leaves none.
    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()>;

    /// Removes a file. It stays removed after a crash.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// The end of a file.
pub(super) trait Tail: Send {
    /// Appends all of `bytes`. A failure may leave some of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended durable. After a failure the state of what was appended since the last is unknown.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Takes the folder at `path`, which exists.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                found.push((name, about.len()));
            }
        }
        Ok(found)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Tail>> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.0.join(name))?;
        self.sync_names()?;
        Ok(Box::new(Open(file)))
    }

    fn read_at(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        let there = usize::try_from(file.metadata()?.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(there)];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes).inspect_err(|_| {
            // Half a file is worth nothing and takes room; if it cannot be removed either, it is overwritten next time.
            drop(fs::remove_file(&path));
        })
    }

    fn set_aside(&self, name: &str, bytes: u64) -> io::Result<()> {
        let path = self.0.join(name);
        let written = File::create(&path).and_then(|mut file| {
            let (mut piece, mut left) = (vec![0; PIECE], bytes);
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                rand::rng().fill(&mut piece[..part]);
                file.write_all(&piece[..part])?;
                left -= part as u64;
            }
            file.sync_all()
        });
        written.inspect_err(|_| {
            // If it cannot be removed either, it is written over next time.
            drop(fs::remove_file(&path));
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))?;
        self.sync_names()
    }
}

struct Open(File);

impl Tail for Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        self.0.sync_data()
    }
}
